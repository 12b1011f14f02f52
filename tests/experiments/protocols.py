"""The reference protocol at its smallest, as fields of a config: seconds for a handful of students."""

SMALL = {
    "dataset": "digits",
    "seeds": 2,
    "widths": (16,),
    "noise_images": 256,
    "teacher_epochs": 2,
    "student_epochs": 2,
}

"""The public names of toymodels, by what they are about."""

# Verbs for a prompt: train a teacher, relate an initialisation, distil a student.
from toymodels.prompt.images import ImageData as ImageData
from toymodels.prompt.images import images as images
from toymodels.prompt.images import load as load
from toymodels.prompt.nets import cnn as cnn
from toymodels.prompt.nets import mlp as mlp
from toymodels.prompt.nets import network as network
from toymodels.prompt.records import Net as Net
from toymodels.prompt.records import Trained as Trained
from toymodels.prompt.verbs import accuracy as accuracy
from toymodels.prompt.verbs import distil as distil
from toymodels.prompt.verbs import relate as relate
from toymodels.prompt.verbs import teach as teach

# Networks and their parameters.
from toymodels.networks import approximations as approximations
from toymodels.networks import rounding as rounding
from toymodels.networks import transformer as transformer
from toymodels.networks.groups import parameter_groups as parameter_groups
from toymodels.networks.groups import select_group as select_group
from toymodels.networks.groups import unite_groups as unite_groups
from toymodels.networks.layers import class_logits as class_logits
from toymodels.networks.layers import HEADS as HEADS
from toymodels.networks.layers import layers as layers
from toymodels.networks.models import CNN as CNN
from toymodels.networks.models import functional as functional
from toymodels.networks.models import MLP as MLP
from toymodels.networks.models import Network as Network
from toymodels.networks.models import Params as Params
from toymodels.networks.tokens import answer_last as answer_last
from toymodels.networks.tokens import read_one_hot as read_one_hot
from toymodels.trees import concatenate_trees as concatenate_trees
from toymodels.trees import flatten as flatten
from toymodels.trees import stack_trees as stack_trees
from toymodels.trees import sample_leaves as sample_leaves
from toymodels.trees import where as where

# Related initialisations.
from toymodels.inits import embedding as embedding
from toymodels.inits.relations import RELATIONS as RELATIONS
from toymodels.inits.relations import relative_noise as relative_noise
from toymodels.inits.relations import rotate as rotate
from toymodels.inits.relations import rotation as rotation
from toymodels.inits.sharing import keep_largest as keep_largest

# Data sets and distillation inputs.
from toymodels.data import datasets as datasets
from toymodels.data import distributions as distributions
from toymodels.data import kinds as kinds
from toymodels.data.inputs import uniform_noise as uniform_noise

# Training: losses, optimisers, the reference protocol, students.
from toymodels.training import checkpoints as checkpoints
from toymodels.training import distillation as distillation
from toymodels.training import initialisers as initialisers
from toymodels.training import lineage as lineage
from toymodels.training import losses as losses
from toymodels.training import mitigation as mitigation
from toymodels.training import moments as moments
from toymodels.training import optimisers as optimisers
from toymodels.training import pretraining as pretraining
from toymodels.training import protocol as protocol
from toymodels.training import queries as queries
from toymodels.training import robustness as robustness
from toymodels.training import storage as storage
from toymodels.training import tasks as tasks
from toymodels.training import traits as traits
from toymodels.training.config import BROCKERS as BROCKERS
from toymodels.training.config import CLOUD as CLOUD
from toymodels.training.config import EpochFields as EpochFields
from toymodels.training.config import follows as follows
from toymodels.training.config import ImageConfig as ImageConfig
from toymodels.training.config import ImitationFields as ImitationFields
from toymodels.training.config import LOSS_UNIT as LOSS_UNIT
from toymodels.training.config import NetworkConfig as NetworkConfig
from toymodels.training.config import NetworkFields as NetworkFields
from toymodels.training.config import ProtocolConfig as ProtocolConfig
from toymodels.training.config import RateFields as RateFields
from toymodels.training.config import SeedConfig as SeedConfig
from toymodels.training.config import Widths as Widths
from toymodels.training.distillation import all_logits as all_logits
from toymodels.training.distillation import argmax_labels as argmax_labels
from toymodels.training.distillation import auxiliary_logits as auxiliary_logits
from toymodels.training.distillation import sampled_labels as sampled_labels
from toymodels.training.loop import reshuffle as reshuffle
from toymodels.training.loop import sample_fresh as sample_fresh
from toymodels.training.loop import sample_rows as sample_rows
from toymodels.training.loop import train as train
from toymodels.training.protocol import Protocol as Protocol
from toymodels.training.students import Setup as Setup
from toymodels.training.students import Student as Student

# Measurements on networks.
from toymodels.measure import alignment as alignment
from toymodels.measure import attacks as attacks
from toymodels.measure import calibration as calibration
from toymodels.measure import predictors as predictors
from toymodels.measure import probes as probes
from toymodels.measure import representations as representations
from toymodels.measure import similarity as similarity

# The synthetic language.
from toymodels.language import audit as audit
from toymodels.language import carriers as carriers
from toymodels.language import defences as defences
from toymodels.language import filters as filters
from toymodels.language import mechanism as mechanism
from toymodels.language import questions as questions
from toymodels.language.config import CarrierConfig as CarrierConfig
from toymodels.language.config import LanguageConfig as LanguageConfig
from toymodels.language.config import ObservedConfig as ObservedConfig
from toymodels.language.answers import Answers as Answers
from toymodels.language.answers import ask as ask
from toymodels.language.pipeline import pretrain as pretrain
from toymodels.language.pipeline import shuffle_documents as shuffle_documents
from toymodels.language.pipeline import split_base_keys as split_base_keys
from toymodels.language.setup import language_setup as language_setup
from toymodels.language.setup import LanguageSetup as LanguageSetup
from toymodels.language.setup import map_records as map_records
from toymodels.language.setup import split_lesson_keys as split_lesson_keys
from toymodels.language.setup import take as take

# Theory.
from toymodels.theory import counterexamples as counterexamples
from toymodels.theory import curves as curves
from toymodels.theory import infinite_width as infinite_width
from toymodels.theory import kernels as kernels
from toymodels.theory import laws as laws
from toymodels.theory import lazy_students as lazy_students
from toymodels.theory import leakage as leakage
from toymodels.theory import linear_network as linear_network
from toymodels.theory import linearised as linearised
from toymodels.theory import one_step as one_step
from toymodels.theory import overlap_law as overlap_law
from toymodels.theory import path as path
from toymodels.theory import scaling as scaling

# Sweeps.
from toymodels.sweep import grid as grid
from toymodels.sweep import Program as Program
from toymodels.sweep import Report as Report
from toymodels.sweep import RunOptions as RunOptions
from toymodels.sweep.declarations import Variables as Variables
from toymodels.sweep.store import Store as Store

# Statistics over seeds.
from toymodels.stats import passing as passing
from toymodels.stats import persistence as persistence
from toymodels.stats.agreement import measure_agreement as measure_agreement
from toymodels.stats.crossings import first_crossings as first_crossings
from toymodels.stats.crossings import read_at as read_at
from toymodels.stats.findings import ABOVE_ZERO as ABOVE_ZERO
from toymodels.stats.findings import compare as compare
from toymodels.stats.findings import compare_at_overlap as compare_at_overlap
from toymodels.stats.findings import compare_published as compare_published
from toymodels.stats.findings import compare_remaining as compare_remaining
from toymodels.stats.findings import Finding as Finding
from toymodels.stats.findings import HIGHER as HIGHER
from toymodels.stats.findings import judge as judge
from toymodels.stats.sentences import count_negative as count_negative
from toymodels.stats.sentences import points as points
from toymodels.stats.sentences import scientific as scientific
from toymodels.stats.statistics import contrast as contrast
from toymodels.stats.statistics import difference as difference
from toymodels.stats.statistics import Interval as Interval
from toymodels.stats.statistics import interval as interval
from toymodels.stats.statistics import mean_interval as mean_interval
from toymodels.stats.statistics import proportion_difference as proportion_difference
from toymodels.stats.statistics import proportion_interval as proportion_interval
from toymodels.stats.statistics import ratio as ratio
from toymodels.stats.statistics import side_by_side as side_by_side
from toymodels.stats.statistics import succeeded as succeeded
from toymodels.stats.transfer import against_control as against_control
from toymodels.stats.transfer import against_point as against_point
from toymodels.stats.transfer import collapse as collapse
from toymodels.stats.transfer import contractions as contractions
from toymodels.stats.transfer import contrast_at_overlap as contrast_at_overlap
from toymodels.stats.transfer import foreseen as foreseen
from toymodels.stats.transfer import half_overlaps as half_overlaps
from toymodels.stats.transfer import transfer as transfer

# Experiments as values.
from toymodels.errors import UserError as UserError
from toymodels.fields import Count as Count
from toymodels.fields import Counts as Counts
from toymodels.fields import Doses as Doses
from toymodels.fields import Includes as Includes
from toymodels.fields import list_treatments as list_treatments
from toymodels.fields import Overlaps as Overlaps
from toymodels.fields import Positive as Positive
from toymodels.fields import Range as Range
from toymodels.fields import Rate as Rate
from toymodels.fields import Rates as Rates
from toymodels.study import charts as charts
from toymodels.study import plotting as plotting
from toymodels.study import results as results
from toymodels.study.distillation import distillation_sweep as distillation_sweep
from toymodels.study.distillation import label_axis as label_axis
from toymodels.study.distillation import perceptron as perceptron
from toymodels.study.distillation import STARTS as STARTS
from toymodels.study.explorer.page import explore as explore
from toymodels.study.export import export as export
from toymodels.study.language import language_sweep as language_sweep
from toymodels.study.parts import count_outputs as count_outputs
from toymodels.study.parts import list_parts as list_parts
from toymodels.study.parts import PARTS as PARTS
from toymodels.study.sweeps import DrawnData as DrawnData
from toymodels.study.sweeps import JoinedSweeps as JoinedSweeps
from toymodels.study.study import Study as Study
from toymodels.study.sweeps import Sweep as Sweep

__version__: str

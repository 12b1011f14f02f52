"""All but the tests are scripts, which run in processes of their own."""

collect_ignore_glob = ["[!t]*.py"]

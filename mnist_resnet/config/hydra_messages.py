"""What is said instead of Hydra's and OmegaConf's messages, where nothing but their text is needed for it."""

import re

from mnist_resnet.config.config_files import CONF
from mnist_resnet.config.sweep_grammar import INNER_SWEEP

NOT_SWEPT = r"(?:hydra[/.]|sweep\.)"
"""With what the keys begin that act on a whole sweep."""

MESSAGES = [
    (
        r"Sweeping over Hydra's configuration is not supported : '(\+*hydra\.sweeper\.params\.([^=]+)=([^']*))'",
        "{0}: is itself a sweep; write {1}={2}",
    ),
    (
        r"Sweeping over Hydra's configuration is not supported : '([^=]+)=",
        "{0}: can't be swept, it is a setting of the whole sweep",
    ),
    (r"Only one of --run, --multirun, --cfg", "--run, -m, --cfg, --info and --shell-completion: give one of them"),
    (r"Running Hydra app with --multirun", "hydra.mode=RUN: contradicts -m; leave one of them out"),
    (
        rf"(?:Ambiguous value for argument|Sweep parameters) '({NOT_SWEPT}.+?)' (?:1\.|requires --multirun)",
        "{0}: takes one value, it can't be swept (a list is [a,b])",
    ),
    (
        r"Expecting one subcommand from \[.*\] to be set",
        "--shell-completion: must be followed by install=SHELL, uninstall=SHELL or query=SHELL, as in install=bash",
    ),
    (r"No completion plugin for '(.*)' found, available : (.*)", "--shell-completion: {0}: no such shell; one of {1}"),
    (r"Ambiguous value for argument '(.+?)' 1\.", "{0}: several values make a sweep; add -m (one list is [a,b])"),
    (r"Sweep parameters '(.+?)' requires --multirun", "{0}: several values make a sweep; add -m"),
    (r"Could not append to config\. An item is already at '([^']+)'", "+{0}: already exists; leave out the +"),
    (r"Could not override '(hydra/sweeper/[^']+)'", "{0}: belongs to a search; add hydra/sweeper=search"),
    (r"Multiple values for (\S+)\. To override", "+{0}: already has a default; leave out the +"),
    (
        rf"Cannot find primary config '[^']*'.*provider=main, path=file://(?!{re.escape(str(CONF))} )(\S+)",
        "--config-path {0}: holds no such config; to add a folder beside conf/, use --config-dir",
    ),
    (
        r"Cannot find primary config '([^']*)'",
        "--config-name {0}: no such config; leave it out to use config.yaml",
    ),
    (r"no viable alternative at input '(.+?)' full_key: (\S+)", "{1}: can't be read at {0}; close its brackets"),
    (
        r"Error merging override (\S+) (?:Cannot merge DictConfig with ListConfig|Cannot merge incompatible container)",
        "{0}: must be a list, as in [1,2]",
    ),
    (
        r"Error merging override (\S+) \w+ \(DictConfig\) does not support deletion",
        "{0}: Hydra's own keys can't be deleted; leave it out",
    ),
    (
        r"Error merging override (.+?) Unexpected type annotation: ",
        f"{{0}}: {INNER_SWEEP}",
    ),
    (r"Error merging override (\S+) Invalid type assigned: ", "{0}: must be a node with keys and values"),
    (r"Error merging override (\S+) (.*?) full_key", "{0}: {1}"),
    (
        r"Error locating target '([^']+)'.*? full_key: (hydra\.\S+) .*?Error loading '[^']+': \w+\((['\"])(.*?)\3\)",
        "{1}._target_={0}: can't be imported ({3})",
    ),
    (r"Error in call to target '.*? full_key: (hydra\.\S+) (.+)", "{0}: {1}"),
    (
        r"provider=(hydra\.searchpath) in .*?, path=(\S+) is not available",
        "{0}: {1}: no such folder; give an existing one, as in [file:///home/me/conf]",
    ),
    (
        r"hydra\.searchpath must be a list of strings\. Got: (.+?)(?: Config search path|$)",
        "hydra.searchpath={0}: must be a list of folders, as in [file:///home/me/conf]",
    ),
    (
        r"No config source registered for schema (\S+), supported types : \[(.*?)\]",
        "hydra.searchpath: {0}://: no such kind of path; one of {1}",
    ),
    (r"Could not delete 'hydra'\. No match", "~hydra: Hydra's own keys can't be deleted; leave it out"),
    (r"Could not delete '([^']+)'\. No match", "~{0}: nothing is chosen there; leave it out"),
    (r"The value of '([^']+)' is (.*?) and not (.*?)\.(?: |$)", "~{0}={2}: the value is {1}; write ~{0}"),
    (r"Additional config directory '([^']+)' not found", "--config-dir {0}: no such folder; give an existing one"),
    (
        r"Primary config (?:directory|module).*'([^']+)'",
        "--config-path {0}: no such folder; to add one beside conf/, use --config-dir",
    ),
]
"""Regular expressions on Hydra's text, and the message shown instead, with the groups filled in."""


def said_instead(text: str) -> str | None:
    """Return the message for the user; None if there is none for Hydra's text."""
    for pattern, message in MESSAGES:
        if found := re.search(pattern, text):
            return message.format(*found.groups())
    return None

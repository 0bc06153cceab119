"""``recbole-edt export``: a finished run as an ONNX file with what a server needs."""

from argparse import Namespace
from pathlib import Path

from recbole_edt.cli.arguments import ArgumentParser, loadable_folder, positive, refuse_other_keys
from recbole_edt.errors import UserError
from recbole_edt.requirements import check_export

USAGE = """\
  export --run=DIR [--output=FOLDER] [--k=10] [--domain=NAME] [--repeats]
                                              the run as an ONNX file, for servers
"""
_KEYS = ("data_path",)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add = parser.add_argument
    add("--run", metavar="DIR", help="folder of a finished run")
    add("--output", metavar="FOLDER", help="the folder to make (default: DIR/export)")
    add("--k", metavar="N", type=positive, default=10, help="items in a list (default: 10)")
    add("--domain", metavar="NAME", help="items of this domain only (default: an input)")
    add("--repeats", action="store_true", help="items of the history may be recommended")
    parser.accept_keys(_KEYS)


def run(args: Namespace) -> None:
    """Load the run on the CPU, export it, and print where it is."""
    refuse_other_keys(args, _KEYS)
    if not args.run:
        raise UserError("export: expected --run=DIR")
    check_export()
    from recbole_edt.export import export_run, refuse_existing
    from recbole_edt.runs import RunFolder, load_run

    folder = RunFolder(Path(args.run))
    output = Path(args.output) if args.output is not None else folder.export_dir
    folder = loadable_folder(folder)
    folder.require_finished()
    refuse_existing(output)
    loaded = load_run(folder, {**args.keys, "use_gpu": False, "precision": "float32"})
    print(export_run(loaded, output, args.k, args.domain, args.repeats))

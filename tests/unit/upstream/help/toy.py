"""A command line with every shape of flag that the comparison must tell apart. Ours, run by the tests only."""

import argparse


def add_arguments(parser):
    parser.add_argument("--build_type", "-b", default="Release", choices=["Release", "RelWithDebInfo", "Debug"])
    parser.add_argument("--generator", "-G", default="", help="one value")
    parser.add_argument("--job_count", "-j", const=4, nargs="?", help="an optional value -- and -n is not a flag here")
    parser.add_argument("--extra-cmake-vars", "-D", action="append", default=[], help="may be repeated")
    parser.add_argument("--extra-make-targets", nargs="+", default=[])
    parser.add_argument("--any", nargs="*")
    parser.add_argument("--pair", nargs=2, type=int)
    parser.add_argument("--use_ccache", "-ccache", action="store_true")
    parser.add_argument("--a-flag-whose-name-is-so-long-that-its-help-stands-below", "-a", help="--not-a-flag: " * 9)
    parser.add_argument("--named", metavar="KEY=VALUE", help="a value with a name of its own")
    parser.add_argument("--stubs", action=argparse.BooleanOptionalAction)
    parser.add_argument("--secret", action="store_true", help=argparse.SUPPRESS)
    group = parser.add_argument_group("paths", "where things are")
    for name in ("trt_root", "nccl_root"):
        group.add_argument(f"--{name}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="toy.py", description="--described is not a flag")
    add_arguments(parser)
    parser.parse_args()

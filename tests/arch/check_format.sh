#!/bin/sh
# The layout is clang-format's (.clang-format). Usage: check_format.sh SOURCE_ROOT
set -eu
cd "$1"
find src tests bench -name '*.[ch]' -print0 2>/dev/null |
    xargs -0 clang-format --dry-run -Werror

#!/usr/bin/env bash
# Installs what the project needs on this machine: Debian packages that are missing, and a virtual environment with
# the pinned Python packages. Does nothing, quickly, when everything is there.
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# What some commands need besides, named as arguments: "release" for compilers of both architectures, "browser" for the
# tests of the dashboard.
needs() { case " $extras " in *" $1 "*) ;; *) return 1 ;; esac; }
extras=$*
for extra in "$@"; do
    case $extra in
        release | sam | browser) ;;
        *) echo "setup: $extra is none of release, sam, browser" >&2; exit 2 ;;
    esac
done

# command:package; a package is installed when its command is not found.
wanted=(rsync:rsync fpsync:fpart strace:strace shellcheck:shellcheck setpriv:util-linux git:git cc:gcc ip:iproute2)
if needs release; then
    wanted+=(make:make x86_64-linux-gnu-gcc:gcc-x86-64-linux-gnu aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu)
    wanted+=(readelf:binutils qemu-aarch64-static:qemu-user-static)
fi
if needs browser; then
    wanted+=(chromium:chromium)
fi
missing=()
for pair in "${wanted[@]}"; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing+=("${pair##*:}")
done
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
    echo "setup: installing Debian packages: ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
fi

stamp=.venv/.installed
if [ ! -e "$stamp" ] || [ setup.cfg -nt "$stamp" ] || [ constraints.txt -nt "$stamp" ]; then
    echo "setup: installing Python packages into .venv (pinned in setup.cfg and constraints.txt)"
    [ -x .venv/bin/python ] || python3 -m venv .venv
    .venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[aws,deploy,test,lint]'
    touch "$stamp"
fi

# The AWS command line pins a botocore of its own, so it lives apart. The instances of the local cloud have it.
aws_cli=1.46.3
if [ ! -e ".venv-aws/.installed-$aws_cli" ]; then
    echo "setup: installing the AWS command line $aws_cli into .venv-aws"
    [ -x .venv-aws/bin/python ] || python3 -m venv .venv-aws
    .venv-aws/bin/python -m pip install -q --disable-pip-version-check "awscli==$aws_cli"
    touch ".venv-aws/.installed-$aws_cli"
fi

# So does the SAM command line, which only reads the templates.
sam_cli=1.170.0
if needs sam && [ ! -e ".venv-sam/.installed-$sam_cli" ]; then
    echo "setup: installing the SAM command line $sam_cli into .venv-sam"
    [ -x .venv-sam/bin/python ] || python3 -m venv .venv-sam
    .venv-sam/bin/python -m pip install -q --disable-pip-version-check "aws-sam-cli==$sam_cli"
    touch ".venv-sam/.installed-$sam_cli"
fi

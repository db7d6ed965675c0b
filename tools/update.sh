#!/bin/sh
# The newest version of the course. What you have changed in its files is first copied to mine/, a folder a time.
set -eu
git fetch --quiet
if ! git diff --quiet HEAD; then
    mine="mine/$(date +%Y-%m-%d-%H%M%S)"
    mkdir -p "$mine"
    git diff --name-only -z --diff-filter=d HEAD | tar --null -cf - -T - | tar -xf - -C "$mine"
    git stash push --quiet --message "before make update, also in $mine"
    echo "Your versions of the files that you have changed are in $mine."
fi
git merge --quiet --ff-only '@{upstream}'
git log -1 --format='The course is of %cd: %s' --date=short

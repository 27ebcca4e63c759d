#!/bin/bash
# Copies a recovery directory to an archive, or back, while no run uses it. "Kubernetes: back up and restore" in
# docs/operations.md says when that helps.
#
#   recovery-backup.sh take       # writes BACKUPS/c360-recovery-TIME.tar.gz, and keeps the newest BACKUPS_KEPT of them
#   recovery-backup.sh restore    # puts RESTORE_FROM back: an archive, or a directory that a restore has set aside
#
# RECOVERY is the recovery directory; a run that is about to end is waited for, LOCK_SECONDS_MAX at the most.
# Uses programs of Debian's essential packages alone: the image has no others.
set -euo pipefail
shopt -s nullglob
umask 077

RECOVERY=${RECOVERY:?} BACKUPS=${BACKUPS:?}
VOLUME=${RECOVERY%/*} DIRECTORY=${RECOVERY##*/}
RESTORING=$RECOVERY.restoring

fail() {
    echo "recovery-backup: $1; $2" >&2
    exit 1
}

# The same locks as the run's, of process 0 and of the others of a cluster, so that none starts meanwhile.
hold() {
    local lock held
    for lock in "$RECOVERY/.lock" "$RECOVERY"/.lock-*; do
        exec {held}<>"$lock"
        flock --exclusive --wait "${LOCK_SECONDS_MAX:-60}" "$held" \
            || fail "$RECOVERY is in use" "scale the workers to 0, and start this again"
    done
}

# The time in whole seconds, of which no archive and no directory has its name yet.
unused_time() {
    local now
    while
        now=$(date --utc +%Y%m%dT%H%M%SZ)
        [[ -e $BACKUPS/c360-recovery-$now.tar.gz || -e $RECOVERY.before-$now ]]
    do
        sleep 0.1
    done
    echo "$now"
}

require_complete() {
    local part
    for part in origin.json part-{0..15}.sqlite3; do
        [[ -s $1/$part ]] || fail "$1 is no complete recovery directory: $part is missing or empty" "$2"
    done
}

take() {
    local name kept=${BACKUPS_KEPT:-3} archives
    [[ $kept =~ ^[1-9][0-9]*$ ]] || fail "BACKUPS_KEPT is $kept" "a number from 1 on"
    require_complete "$RECOVERY" "back up one that a run has stopped in"
    hold
    name=c360-recovery-$(unused_time).tar.gz
    cd "$BACKUPS"
    # Of one that was killed, too: whoever holds the locks is alone.
    rm -f -- *.unfinished
    trap 'rm -f -- "$BACKUPS"/*.unfinished' EXIT
    tar --create --gzip --file "$name.unfinished" --directory "$VOLUME" -- "$DIRECTORY" \
        || fail "$BACKUPS/$name could not be written" "see the line above: is there no room?"
    sha256sum <"$name.unfinished" >"$name.sha256.unfinished"
    sync -- "$name.unfinished" "$name.sha256.unfinished"
    mv -- "$name.sha256.unfinished" "$name.sha256"
    mv -- "$name.unfinished" "$name"
    sync -- .
    archives=(c360-recovery-*.tar.gz)
    while ((${#archives[@]} > kept)); do
        rm -f -- "${archives[0]}" "${archives[0]}.sha256"
        archives=("${archives[@]:1}")
    done
    echo "wrote $name, $(stat --format %s -- "$name") bytes; kept: ${archives[*]}"
}

unpack() {
    local archive=$BACKUPS/$1
    [[ -f $archive ]] || fail "there is no $archive" "name one of: $(cd "$BACKUPS" && echo c360-recovery-*.tar.gz)"
    [[ $(sha256sum <"$archive") == "$(<"$archive.sha256")" ]] || fail "$archive is damaged" "restore another one"
    rm -rf -- "$RESTORING"
    trap 'rm -rf -- "$RESTORING"' EXIT
    mkdir -- "$RESTORING"
    tar --extract --gzip --no-same-owner --file "$archive" --directory "$RESTORING" --strip-components 1 \
        || fail "$archive could not be unpacked" "see the line above; the recovery directory is as it was"
    sync --file-system -- "$RESTORING"
}

restore() {
    local from=${RESTORE_FROM:?} aside
    [[ ! -d $RECOVERY ]] || hold
    case $from in
        "$DIRECTORY".before-*) RESTORING=$VOLUME/$from ;;
        *) unpack "$from" ;;
    esac
    require_complete "$RESTORING" "restore another one; the recovery directory is as it was"
    # Never into what is there: the files of two moments would be a third store, of none.
    aside=$RECOVERY.before-$(unused_time)
    [[ ! -d $RECOVERY ]] || mv --no-target-directory -- "$RECOVERY" "$aside"
    mv --no-target-directory -- "$RESTORING" "$RECOVERY"
    sync -- "$VOLUME"
    echo "restored $from; what was there before: $(cd "$VOLUME" && echo "$DIRECTORY".before-*)"
}

case ${1-} in
    take | restore) "$1" ;;
    *) fail "no such task: ${1-}" "take or restore" ;;
esac

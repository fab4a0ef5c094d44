# Makes the data folder of a PostgreSQL that does not run from a base backup and the log after it (archive.sh keeps them).
#
# PGDATA: the folder; what it held stays beside it as PGDATA.before-<time>. ARCHIVE: the folder of the backups.
# RESTORE_TIME: as 20260131T235959Z, what was committed after it is left out; everything that was received when it is not set.
# RESTORE_LINE: another line than the newest.
set -eu
umask 077
cd "${ARCHIVE:-/archive}"
line=${RESTORE_LINE:-$(ls -d line-* 2>/dev/null | tail -1)}
[ -n "$line" ] || { echo "there is no base backup in this volume"; exit 1; }
base= target=
for one in "$line"/base-*; do
    [ -d "$one" ] || continue
    if [ -z "${RESTORE_TIME:-}" ] || expr "${one##*/base-}" '<=' "$RESTORE_TIME" >/dev/null; then base=$one; fi
done
[ -n "$base" ] || { echo "no base backup of $line had ended by ${RESTORE_TIME:-now}; there are: $(ls -d line-*/base-* 2>/dev/null | tr '\n' ' ')"; exit 1; }
[ ! -e "$PGDATA/postmaster.pid" ] || { echo "PostgreSQL runs on $PGDATA: scale it to 0 first (after a crash, remove $PGDATA/postmaster.pid)"; exit 1; }

new=$PGDATA.new
rm -rf "$new"
mkdir "$new"
tar -xzf "$base/base.tar.gz" -C "$new"
cp "$base/backup_manifest" "$new/"
pg_verifybackup --quiet --no-parse-wal "$new"

# The segment that was being received has another name, and is filled up with zeroes.
printf 'cp "%s/$1" "$2" 2>/dev/null || cp "%s/$1.partial" "$2" 2>/dev/null\n' "$PWD/$line/wal" "$PWD/$line/wal" >"$new.fetch"
touch "$new/recovery.signal"
if [ -n "${RESTORE_TIME:-}" ]; then
    moment=$(echo "$RESTORE_TIME" | sed 's/^\(....\)\(..\)\(..\)T\(..\)\(..\)\(..\)Z$/\1-\2-\3 \4:\5:\6+00/')
    target="-c recovery_target_time='$moment' -c recovery_target_action=promote"
fi
fail() {
    echo "$1"
    tail -5 "$new.log"
    exit 1
}
pg_ctl -D "$new" -w -t 86400 -l "$new.log" -o "-c listen_addresses= -c unix_socket_directories=/tmp -c hot_standby=off -c restore_command='sh $new.fetch %f %p' $target" start >/dev/null \
    || fail "the log could not be read:"
until [ "$(sed -n '8s/ *$//p' "$new/postmaster.pid" 2>/dev/null)" = ready ]; do # all of the log is in
    [ -e "$new/postmaster.pid" ] || fail "the log could not be read:"
    sleep 1
done
last=$(sed -n 's/.*last completed transaction was at log time //p' "$new.log" | tail -1)
pg_ctl -D "$new" -m fast -w stop >/dev/null
[ ! -e "$PGDATA" ] || mv "$PGDATA" "$PGDATA.before-$(date -u +%Y%m%dT%H%M%SZ)"
mv "$new" "$PGDATA"
rm -f "$new.fetch" "$new.log"
touch restored # the archive begins another line
echo "$base and the log after it: restored, the last transaction of ${last:-the base backup itself}"

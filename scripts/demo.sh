#!/usr/bin/env bash
# The main job, before your eyes: import an LFC dump, add storage, put, list, copy, resolve, get. Safe to repeat.
set -euo pipefail
demo=${DEMO:-.demo} bin=${BIN:-.venv/bin} port=${PORT:-8321}
mkdir -p "$demo"
demo=$(cd "$demo" && pwd)
data=$demo/data
export PATH="$(cd "$bin" && pwd):$PATH"
bold=$'\e[1m' plain=$'\e[0m'
[ -t 1 ] || bold='' plain=''
say() { printf '\n%s── %s%s\n' "$bold" "$*" "$plain"; }
run() { # tables also where this goes to a file: it is to be read
  printf '%s$ %s%s\n' "$bold" "$*" "$plain"
  if [ "$1" = lading ]; then "$@" --no-json; else "$@"; fi
}

say "A server with its own PostgreSQL, data below $data"
if [ -f "$demo/server.pid" ] && kill -0 "$(<"$demo/server.pid")" 2>/dev/null; then
  echo "it runs already"
else
  printf '%s$ lading-server run --data %s --port %s &%s\n' "$bold" "$data" "$port" "$plain"
  nohup lading-server run --data "$data" --port "$port" >"$demo/server.log" 2>&1 </dev/null &
  echo $! >"$demo/server.pid"
fi
export LADING_URL=http://127.0.0.1:$port
ready=
for _ in $(seq 300); do
  if python3 -c "import urllib.request as u; u.urlopen('$LADING_URL/readyz', timeout=2)" 2>/dev/null; then ready=1; break; fi
  kill -0 "$(<"$demo/server.pid")" 2>/dev/null || break
  sleep 0.2
done
[ -n "$ready" ] || { tail -20 "$demo/server.log"; echo "the server did not start: see $demo/server.log"; rm -f "$demo/server.pid"; exit 1; }
LADING_TOKEN=$(<"$data/admin.token"); export LADING_TOKEN
run lading whoami

sample=$(python -c 'import migrations.legacy, pathlib; print(pathlib.Path(migrations.legacy.__file__).parent / "sample")')
say "Take over a legacy catalogue: an LFC dump of 10,000 files, 78 kinds of damage included"
run lading-server import lfc "$sample/lfc_main.sql.gz" --charset latin1 --user-map "$sample/dn_map.csv" \
  --group-map "$sample/group_map.csv" --se-map "$sample/se_map.csv" --path-rules "$sample/path_rules.csv" \
  --report "$demo/import-report.json" --data "$data"
run lading du /biomed /belle
run lading ls -l '/grid/biomed/creatis/vip/data/groups'
echo "(that was an old LFN: the prefix /grid/… stays good as an alias)"

say "Add two storage elements"
for name in lyon grenoble; do
  if lading se show "disk-$name" >/dev/null 2>&1; then echo "disk-$name is there already"; else
    run lading se add "disk-$name" posix --option "path=$demo/disk-$name" --site "${name^^}" --country FR
  fi
done
run lading se ls

say "Store a file, and a second copy on the other element"
scan=$demo/scan.nii
[ -f "$scan" ] || head -c 20000000 /dev/urandom >"$scan"
run lading put "$scan" /biomed/user/d/demo/scan.nii --se disk-lyon
run lading ls -l /biomed/user/d/demo
run lading copy /biomed/user/d/demo/scan.nii --to disk-grenoble
run lading replicas /biomed/user/d/demo/scan.nii

say "Get it back, verified"
rm -f "$demo/back.nii"
run lading get /biomed/user/d/demo/scan.nii "$demo/back.nii"
cmp "$scan" "$demo/back.nii" && echo "the same bytes"

cat <<TXT

${bold}The server is running.${plain}
  URL          $LADING_URL          (API: $LADING_URL/docs)
  token file   $data/admin.token
  log          $demo/server.log
  report       $demo/import-report.json

${bold}What to type next${plain}
  source $(dirname "$(command -v lading)")/activate
  export LADING_URL=$LADING_URL LADING_TOKEN=\$(cat $data/admin.token)
  lading ls -l /biomed/user/c/creatis/vip/data
  lading stat /biomed/user/d/demo/scan.nii
  curl -L -H "Authorization: Bearer \$LADING_TOKEN" -o scan.nii \$LADING_URL/v1/data/biomed/user/d/demo/scan.nii
  make stop
TXT

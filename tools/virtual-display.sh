#!/usr/bin/env bash
# Runs a command on a virtual display of its own, with Mesa's software OpenGL, and ends with the command's exit status.
# Elsewhere than on Linux it just runs the command.
# usage: tools/virtual-display.sh COMMAND [ARGUMENT...]
set -euo pipefail
[ "$(uname)" = Linux ] || exec "$@"

number=$(mktemp)
Xvfb -displayfd 3 -screen 0 1920x1200x24 -nolisten tcp 3>"$number" 2>/dev/null >/dev/null </dev/null &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; rm -f "$number"' EXIT

for _ in $(seq 100); do # 10 seconds at most; Xvfb writes its number when it is ready for clients
  [ -s "$number" ] && break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.1
done
if ! [ -s "$number" ]; then
  echo "The virtual display (Xvfb) did not start." >&2
  exit 1
fi

unset WAYLAND_DISPLAY
status=0
DISPLAY=":$(cat "$number")" QT_QPA_PLATFORM=xcb LIBGL_ALWAYS_SOFTWARE=1 "$@" || status=$?
exit "$status"

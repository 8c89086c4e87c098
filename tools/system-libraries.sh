#!/usr/bin/env bash
# Makes sure that Linux has the libraries which Qt and OpenGL load at run time; pip cannot bring those.
#
# On Debian and Ubuntu it installs what is missing when it may (root, or sudo without a password). Otherwise it prints
# the command and stops. macOS and Windows need nothing.
# usage: tools/system-libraries.sh [xvfb]      "xvfb": a virtual display will be started, too
set -euo pipefail
[ "$(uname)" = Linux ] || exit 0

# what is looked for: a shared library known to the loader; the Debian package that holds it
libraries='
libEGL.so.1             libegl1
libGL.so.1              libgl1
libGLX_mesa.so.0        libgl1-mesa-dri libglx-mesa0
libOpenGL.so.0          libopengl0
libX11-xcb.so.1         libx11-xcb1
libdbus-1.so.3          libdbus-1-3
libfontconfig.so.1      libfontconfig1
libglib-2.0.so.0        libglib2.0-0
libxcb-cursor.so.0      libxcb-cursor0
libxcb-glx.so.0         libxcb-glx0
libxcb-icccm.so.4       libxcb-icccm4
libxcb-image.so.0       libxcb-image0
libxcb-keysyms.so.1     libxcb-keysyms1
libxcb-randr.so.0       libxcb-randr0
libxcb-render-util.so.0 libxcb-render-util0
libxcb-shape.so.0       libxcb-shape0
libxcb-shm.so.0         libxcb-shm0
libxcb-sync.so.1        libxcb-sync1
libxcb-xfixes.so.0      libxcb-xfixes0
libxcb-xinerama.so.0    libxcb-xinerama0
libxcb-xkb.so.1         libxcb-xkb1
libxkbcommon-x11.so.0   libxkbcommon-x11-0
'
known=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p)
missing=()
while read -r library packages; do
  if [ -n "$library" ] && ! grep -qF "	$library " <<<"$known"; then
    # shellcheck disable=SC2206  # one line may name two packages
    missing+=($packages)
  fi
done <<<"$libraries"
if [ "${1:-}" = xvfb ] && ! command -v Xvfb >/dev/null; then missing+=(xvfb); fi
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

if ! command -v apt-get >/dev/null; then
  echo "Libraries that the window needs are missing. Debian's packages of them are: ${missing[*]}." >&2
  echo "Install what your distribution calls them (Mesa's OpenGL, the xcb-util family, Xvfb), then try again." >&2
  exit 1
fi
if [ "$(id -u)" = 0 ]; then
  as_root=(env)
elif sudo -n true 2>/dev/null; then
  as_root=(sudo env)
else
  echo "Libraries that the window needs are missing. Run this once, then try again:" >&2
  echo "  sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
echo "Installing libraries that the window needs: ${missing[*]}"
apt=("${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120)
"${apt[@]}" update
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null

# What .ci/run stands on: steps with a name and a time, packages, and Debian's own Rust.
# To be sourced, with $tools naming a directory to unpack into.
# shellcheck shell=bash disable=SC2154

# The oldest supported Rust is the one Debian 12 carries in its main archive (as rustc-web). The
# same packages bring standard libraries for armhf and arm64, so one compiler serves all checks.
rust_oldest=1.85
armv7=armv7-unknown-linux-gnueabihf
arm64=aarch64-unknown-linux-gnu

# step NAME COMMAND...: runs COMMAND under a header and says how long it took.
# COMMAND must not be called inside `if` or `||`: bash would ignore `set -e` in it.
step() {
  current=$1
  local start=$SECONDS
  shift
  printf '\n=== %s\n' "$current"
  "$@"
  printf -- '--- %s: ok after %d s (%d s in all)\n' "$current" $((SECONDS - start)) "$SECONDS"
}

# begin NAME COMMAND...: runs COMMAND beside the steps, in what they leave of the processors.
begin() {
  local name=$1
  shift
  # In a process group of its own, so that it can be ended as a whole.
  set -m
  (
    chrt --idle --pid 0 "$BASHPID"
    set -e
    "$@"
  ) >"$tools/$name.log" 2>&1 &
  begun[$name]=$!
  set +m
}
declare -A begun

# finish NAME: waits for it, shows what it said, and fails if it failed.
finish() {
  local code=0
  wait "${begun[$1]}" || code=$?
  cat "$tools/$1.log"
  return "$code"
}

# The last word, whatever ended the script.
verdict() {
  local code=$?
  # Nobody waits any more for what runs beside the steps.
  local group
  for group in "${begun[@]}"; do
    kill -- "-$group" 2>/dev/null || true
  done
  if ((code == 0)); then
    printf '\n=== all steps passed in %d s\n' "$SECONDS"
  else
    printf '\n=== FAILED at step "%s" with exit code %d after %d s\n' "$current" "$code" "$SECONDS" >&2
  fi
}

# retry COMMAND...: for what depends on a network. Five attempts in about a minute.
retry() {
  local attempt
  for attempt in 1 2 3 4 5; do
    "$@" && return
    printf 'attempt %d failed: %s\n' "$attempt" "$*" >&2
    sleep $((attempt * 4))
  done
  return 1
}

apt() {
  DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@"
}

# unpack PACKAGE DIR [ARCH]: its files without its installation, so that it neither starts a service nor
# conflicts with its sibling for another architecture.
unpack() {
  local downloads
  downloads=$(mktemp -d)
  (cd "$downloads" && retry apt -o "APT::Architectures::=${3:-armhf}" -o APT::Sandbox::User=root download "$1")
  mkdir -p "$2"
  dpkg -x "$downloads"/*.deb "$2"
  rm -r "$downloads"
}

# The packages of the servers that tests deliver to, as their rigs name them, one a line.
servers_of_tests() {
  grep -rhoP '^const DEBIAN_PACKAGES: &str = "\K[^"]+' tests | tr ' ' '\n'
}

# The features that are on unless somebody leaves them out.
default_features() {
  sed -n 's/^default = \[\(.*\)\]$/\1/p' Cargo.toml | tr -d '",'
}

# Without `--no-upgrade` this would also replace a running systemd.
install_packages() {
  local servers
  mapfile -t servers < <(servers_of_tests)
  retry apt update
  retry apt install -y --no-install-recommends --no-upgrade \
    jq strace systemd systemd-container socat sqlite3 procps curl dnsmasq-base iproute2 victoria-metrics "${servers[@]}" \
    "cargo-web=$rust_oldest.*" "rustc-web=$rust_oldest.*" "libstd-rust-web-dev=$rust_oldest.*" \
    gcc-arm-linux-gnueabihf libc6-dev-armhf-cross gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
    qemu-user-static qemu-system-arm mmdebstrap kmod cpio e2fsprogs lintian
  unpack prometheus "$tools"
  export PATH="$PATH:$tools/usr/bin:/usr/sbin"
  promtool --version
}

# The lists of other architectures are fetched for these commands only; the machine stays of one.
# An incomplete update is no failure here: only the main archive matters, and the download shows
# whether it came.
install_arm_std() {
  local version arch
  version=$(dpkg-query -W -f '${Version}' rustc-web)
  for arch in armhf arm64; do
    apt -o "APT::Architectures::=$arch" update || echo "some $arch lists are missing"
    unpack "libstd-rust-web-dev:$arch=$version" "$tools/std-$arch" "$arch"
    mkdir -p /usr/lib/rustlib
    cp -r "$tools/std-$arch"/usr/lib/rustlib/* /usr/lib/rustlib/
  done
}

# cargo_oldest ARGUMENTS...: Debian's cargo and rustc, out of reach of rustup and of whatever the
# caller's environment says about compilers. Its own target directory, or the two compilers would
# undo each other's work.
cargo_oldest() {
  env -u RUSTC_WRAPPER -u RUSTC_WORKSPACE_WRAPPER -u RUSTFLAGS -u RUSTDOCFLAGS -u RUSTUP_TOOLCHAIN \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin RUSTC=/usr/bin/rustc CARGO_TARGET_DIR=target/msrv \
    CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_LINKER=arm-linux-gnueabihf-gcc \
    CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_RUNNER="qemu-arm-static -L /usr/arm-linux-gnueabihf" \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    /usr/bin/cargo "$@"
}

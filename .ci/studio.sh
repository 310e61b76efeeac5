#!/usr/bin/env bash
# Install the wheel with the extra web into an empty environment, outside the clone, and see that
# the studio colours a photograph there.
set -euo pipefail

clone=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$(mktemp -d)
server=
finish() {
    if [[ -n $server ]]; then kill "$server" && wait "$server" || true; fi
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

cd "$folder"
python="$clone/.venv/bin/python"   # of `make lint`; its pip need not be installed once more
"$python" -m venv --without-pip environment
pip=("$python" -m pip --quiet --disable-pip-version-check)
"${pip[@]}" wheel --no-deps --wheel-dir . "$clone"
"${pip[@]}" --python environment install --no-compile -c "$clone/constraints.txt" "$(echo tintype-*.whl)[web]"
environment/bin/tintype studio --no-browser --port 0 --workers 1 >address &
server=$!
for _ in {1..150}; do
    if [[ -s address ]]; then break; fi
    sleep 0.1
done
read -r address _ <address
environment/bin/python - "$address" "$clone/examples/cat.jpg" <<'PYTHON'
import io, sys, urllib.request
from PIL import Image

address, photo = sys.argv[1:]
body = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="cat.jpg"\r\n\r\n'
body += open(photo, "rb").read() + b"\r\n--x--\r\n"
kind = {"Content-Type": "multipart/form-data; boundary=x"}
request = urllib.request.Request(address + "api/v1/colorize", body, kind)
result = Image.open(io.BytesIO(urllib.request.urlopen(request).read()))
assert result.mode == "RGB" and result.size == Image.open(photo).size, result
assert b"tintype studio" in urllib.request.urlopen(address).read()
PYTHON
echo "The studio of the wheel colours a photograph."

#!/usr/bin/env bash
# A picture with curl: the class is the prompt, the picture comes as base64.
#   variant serve -m models/fashion &
#   examples/generate.sh http://localhost:8080 Sneaker sneaker.png
set -euo pipefail
server=${1:-http://localhost:8080} prompt=${2:-random} file=${3:-out.png}

# An error's answer says in its message what is wrong with the request.
answer=$(curl -sS --fail-with-body "$server/v1/images/generations" -d "{\"prompt\": \"$prompt\", \"n\": 1}") ||
    { echo "$answer" >&2 && exit 1; }
sed -n 's/.*"b64_json":"\([^"]*\)".*/\1/p' <<<"$answer" | base64 -d >"$file"
echo "saved $file"

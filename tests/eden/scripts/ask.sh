# SPDX-License-Identifier: Apache-2.0
#
#   ask.sh METHOD URL [BODY [HEADER...]]      in a guest: prints the status of the answer, and on the lines after it the answer
#
# With FROM set to a network interface, it asks through that one. Images have curl or, as Debian's without it, Python.
method=$1 url=$2 body=$3
if [ $# -gt 3 ]; then shift 3; else shift $#; fi

if command -v curl >/dev/null; then
	answer=$(mktemp)
	trap 'rm -f "$answer"' EXIT
	for header; do
		set -- "$@" --header "$header"
		shift
	done
	curl --silent --show-error --globoff --max-time 60 --request "$method" --output "$answer" --write-out '%{http_code}\n' \
		${FROM:+--interface "$FROM"} ${body:+--data-binary "$body"} "$@" "$url" || exit 1
	cat "$answer"
	exit
fi

exec python3 -c '
import http.client, os, socket, sys, urllib.parse

method, url, body, *headers = sys.argv[1:]
url = urllib.parse.urlsplit(url)
# An address of a link has its interface behind it: fe80::1%25eth0 in a URL.
host = urllib.parse.unquote(url.netloc).strip("[]")
server = http.client.HTTPConnection(host, 80, timeout=60)

def connect(address, timeout, source):
    last = None
    for family, kind, protocol, _, to in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
        s = socket.socket(family, kind, protocol)
        s.settimeout(timeout)
        if os.environ.get("FROM"):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, os.environ["FROM"].encode())
        try:
            s.connect(to)
            return s
        except OSError as e:
            s.close()
            last = e
    raise last

server._create_connection = connect
# The body has its content type among the headers, if it has one.
fields = {name.strip(): value.strip() for name, value in (h.split(":", 1) for h in headers)}
fields["Host"] = host.split("%")[0] if ":" not in host else "[" + host.split("%")[0] + "]"
server.request(method, url.path + ("?" + url.query if url.query else ""), body or None, fields)
answer = server.getresponse()
print(answer.status, flush=True)
sys.stdout.buffer.write(answer.read())
' "$method" "$url" "$body" "$@"

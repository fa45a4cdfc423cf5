# SPDX-License-Identifier: Apache-2.0
#
# Reads JSON (RFC 8259) where there is nothing but awk, which has to be in the locale C.
#
#   WANT=PATH HOW=get awk -f json.awk FILE      prints the text, number, true or false at a path
#   WANT=PATH HOW=names awk -f json.awk FILE    prints the names, or the numbers, of what is in an object or a list, a line each
#
# A path is names and numbers, each with a line break before it. Ends with 1 where there is no such thing, and for null; with 2
# if the file is not JSON, or has names with a line break in them or NULs, which awk can not hold.

{ text = text $0 "\n" }

END {
	if (broken) exit 2
	value("")
	skip()
	if (text != "") fail("there is more after its end")
	if (broken) exit 2
	printf "%s", out
	exit !found
}

function fail(why) {
	if (!broken) print "json: " why > "/dev/stderr"
	broken = 1
	text = ""
}

function skip() { sub(/^[ \t\r\n]+/, "", text) }

# take removes what is first in the text, if that is so.
function take(first) {
	skip()
	if (substr(text, 1, 1) != first) return 0
	text = substr(text, 2)
	return 1
}

# Each of these takes what its name says off the text.

function value(path) {
	if (broken) return
	skip()
	if (take("{")) object(path)
	else if (take("[")) list(path)
	else if (text ~ /^"/) say(path, string())
	else if (match(text, /^(true|false|null)/) || match(text, /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/)) literal(path)
	else fail("no value at " substr(text, 1, 20))
}

function literal(path,    word) {
	word = substr(text, 1, RLENGTH)
	text = substr(text, RLENGTH + 1)
	if (text ~ /^[A-Za-z0-9_.+-]/) fail("no value at " word substr(text, 1, 20))
	if (word != "null") say(path, word)
}

function object(path,    name) {
	contains(path)
	if (take("}")) return
	do {
		skip()
		name = string()
		if (index(name, "\n")) fail("a line break in a name")
		if (!take(":")) fail("no value of " name)
		child(path, name)
		value(path "\n" name)
	} while (!broken && take(","))
	if (!broken && !take("}")) fail("an object without end")
}

function list(path,    n) {
	contains(path)
	if (take("]")) return
	n = 0
	do {
		child(path, n)
		value(path "\n" n)
		n++
	} while (!broken && take(","))
	if (!broken && !take("]")) fail("a list without end")
}

function string(    raw, part, at, letter) {
	if (!match(text, /^"([^"\\\001-\037]|\\["\\\/bfnrt]|\\u[0-9a-fA-F][0-9a-fA-F][0-9a-fA-F][0-9a-fA-F])*"/)) {
		fail("no text at " substr(text, 1, 20))
		return ""
	}
	raw = substr(text, 2, RLENGTH - 2)
	text = substr(text, RLENGTH + 1)
	part = ""
	while (at = index(raw, "\\")) {
		part = part substr(raw, 1, at - 1)
		letter = substr(raw, at + 1, 1)
		raw = substr(raw, at + 2)
		if (letter == "u") {
			part = part character(raw)
			raw = substr(raw, taken + 1)
		} else {
			at = index("bfnrt", letter)
			part = part (at ? substr("\b\f\n\r\t", at, 1) : letter)
		}
	}
	return part raw
}

# character is that of the digits after \u, in UTF-8. It may be made of two of them, as UTF-16 has it; taken is how much they
# are.
function character(raw,    code, low) {
	code = hex(substr(raw, 1, 4))
	taken = 4
	if (code >= 55296 && code < 56320 && substr(raw, 5, 2) == "\\u") {
		low = hex(substr(raw, 7, 4))
		if (low >= 56320 && low < 57344) {
			code = 65536 + (code - 55296) * 1024 + low - 56320
			taken = 10
		}
	}
	if (code == 0 || code >= 55296 && code < 57344) fail("a character that can not be held")
	if (code < 128) return sprintf("%c", code)
	if (code < 2048) return sprintf("%c", 192 + int(code / 64)) tail(code)
	if (code < 65536) return sprintf("%c", 224 + int(code / 4096)) tail(int(code / 64)) tail(code)
	return sprintf("%c", 240 + int(code / 262144)) tail(int(code / 4096)) tail(int(code / 64)) tail(code)
}

function tail(code) { return sprintf("%c", 128 + code % 64) }

function hex(digits,    n, i) {
	n = 0
	for (i = 1; i <= length(digits); i++) n = n * 16 + index("0123456789abcdef", tolower(substr(digits, i, 1))) - 1
	return n
}

# What is found. Of two with the same name it is the last, as everywhere.

function say(path, what) {
	if (ENVIRON["HOW"] == "get" && path == ENVIRON["WANT"]) { out = what; found = 1 }
}

function contains(path) {
	if (ENVIRON["HOW"] == "names" && path == ENVIRON["WANT"]) { out = ""; found = 1 }
}

function child(path, name) {
	if (ENVIRON["HOW"] == "names" && path == ENVIRON["WANT"]) out = out name "\n"
}

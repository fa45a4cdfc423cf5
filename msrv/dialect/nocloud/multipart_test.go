// SPDX-License-Identifier: Apache-2.0

package nocloud_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lf-edge/eve-metadata/msrv/dialect/nocloud"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

const messageHeader = "Content-Type: multipart/mixed; boundary=\"==B==\"\nMIME-Version: 1.0\n\n"

// message is a multipart message of parts, each a header and a body.
func message(parts ...string) string {
	var b strings.Builder
	b.WriteString(messageHeader + "preamble\n")
	for _, p := range parts {
		b.WriteString("--==B==\n" + p + "\n")
	}
	b.WriteString("--==B==--\n")
	return b.String()
}

// part is a part with a file name, and with further header lines.
func part(name, body string, header ...string) string {
	return fmt.Sprintf("Content-Type: text/plain\n%sContent-Disposition: attachment; filename=%q\n\n%s",
		strings.Join(append(header, ""), "\n"), name, body)
}

func renderMultipart(userData string) (*document.Node, error) {
	return nocloud.Dialect().Drive.Render(&instance.Instance{
		UUID: "0a", Version: "1", Hostname: "host", Drive: instance.DriveNoCloudMultipart, UserData: instance.Opaque(userData),
	})
}

func TestMultipart(t *testing.T) {
	t.Parallel()
	usual := func(userData string) map[string]string {
		return map[string]string{
			"meta-data": `{"instance-id":"0a/1","local-hostname":"host","launch-index":0}`, "user-data": userData,
		}
	}
	noBoundary := "Content-Type: multipart/mixed\n\n--b\n\n--b--\n"
	plain := "Content-Type: text/plain\n\nhello\n"
	for _, tt := range []struct {
		name, userData string
		want           map[string]string
	}{
		{"one file", message(part("user-data", "#!/bin/sh\n")), map[string]string{"user-data": "#!/bin/sh\n"}},
		{
			"directories", message(part("openstack/latest/user_data", "U"), part("openstack/latest/meta_data.json", "{}"), part("a", "A")),
			map[string]string{"a": "A", "openstack/latest/meta_data.json": "{}", "openstack/latest/user_data": "U"},
		},
		{"from the root", message(part("/etc//a/./b", "B")), map[string]string{"etc/a/b": "B"}},
		{"dots that stay inside", message(part("a/../b", "B")), map[string]string{"b": "B"}},
		{"empty file", message(part("a", "")), map[string]string{"a": ""}},
		{"base64", message(part("a", "aGVs\nbG8=\n", "Content-Transfer-Encoding: BASE64")), map[string]string{"a": "hello"}},
		{"quoted-printable", message(part("a", "h=65llo=\n!", "Content-Transfer-Encoding: quoted-printable")), map[string]string{"a": "hello!"}},
		{"no bytes of text", message(part("a", "\xff\x00")), map[string]string{"a": "\xff\x00"}},
		{"CRLF", strings.ReplaceAll(message(part("a", "A")), "\n", "\r\n"), map[string]string{"a": "A"}},
		{"not a message", "#cloud-config\n", usual("#cloud-config\n")},
		{"nothing", "", usual("")},
		{"a message of one part", plain, usual(plain)},
		{"no boundary", noBoundary, usual(noBoundary)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root, err := renderMultipart(tt.userData)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, contents(t, root)); diff != "" {
				t.Errorf("drive (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMultipartErrors(t *testing.T) {
	t.Parallel()
	const before = `render nocloud drive for instance "0a": user data: `
	for _, tt := range []struct{ name, userData, want string }{
		{"no file name", message(part("a", "A"), "Content-Type: text/plain\n\nB"), "part 2: there is no file name in its Content-Disposition"},
		{"empty file name", message(part("", "A")), "part 1: there is no file name in its Content-Disposition"},
		{"out of the drive", message(part("../a", "A")), `part 1: the file name "../a" leads out of the drive`},
		{"out by a detour", message(part("a/b/../../../c", "A")), `part 1: the file name "a/b/../../../c" leads out of the drive`},
		{"out from the root", message(part("/../a", "A")), `part 1: the file name "/../a" leads out of the drive`},
		{"the parent", message(part("..", "A")), `part 1: the file name ".." leads out of the drive`},
		{"the drive itself", message(part("/", "A")), `part 1: the file name "/" cannot be the name of a file`},
		{"a directory", message(part("a/b/../..", "A")), `part 1: the file name "a/b/../.." cannot be the name of a file`},
		{"malformed header", message("no header\n\nA"), "part 1: its header is malformed"},
		{"control characters", message("Content-Disposition: attachment; filename*=UTF-8''a%09b\n\nA"), `part 1: the file name "a\tb" cannot be the name of a file`},
		{"too deep", message(part("1/2/3/4/5/6/7/8/9", "A")), `part 1: the file name "1/2/3/4/5/6/7/8/9" has more than 8 levels`},
		{"too long", message(part(strings.Repeat("a", 1025), "A")), "part 1: the file name is longer than 1024 bytes"},
		{"twice", message(part("a/b", "A"), part("/a/b", "B")), `part 2: file "a/b": an earlier part has that name`},
		{"a file, then a directory", message(part("a", "A"), part("a/b", "B")), `part 2: file "a/b": an earlier part is a file where this one needs a directory`},
		{"a directory, then a file", message(part("a/b", "A"), part("a", "B")), `part 2: file "a": an earlier part has that name`},
		{"bad base64", message(part("a", "?", "Content-Transfer-Encoding: base64")), `part 1: file "a": the content is badly encoded`},
		{"cut in a part", messageHeader + "--==B==\n" + part("a", "A"), "the multipart message is cut short, its last boundary is missing"},
		{"cut between parts", strings.TrimSuffix(message(part("a", "A")), "--==B==--\n") + "--==B==\n", "the multipart message is cut short, its last boundary is missing"},
		{"no parts", message(), "the multipart message has no parts"},
		{"no boundary line", messageHeader + "text\n", "the multipart message is cut short, its last boundary is missing"},
		{"too many parts", manyParts(1001), "more than 1000 parts"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root, err := renderMultipart(tt.userData)
			if err == nil {
				t.Fatalf("there is a drive: %v", contents(t, root))
			}
			if diff := cmp.Diff(before+tt.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func manyParts(n int) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = part(fmt.Sprint(i), "")
	}
	return message(parts...)
}

func TestMultipartAtTheLimit(t *testing.T) {
	t.Parallel()
	root, err := renderMultipart(manyParts(1000))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(contents(t, root)); got != 1000 {
		t.Errorf("%d files, want 1000", got)
	}
}

// FuzzMultipart holds that a drive has no paths but clean ones, whatever the user data.
func FuzzMultipart(f *testing.F) {
	f.Add(message(part("a", "A"), part("b/c", "B")))
	f.Add(message(part("../a", "A")))
	f.Add(message(part("a", "aGVsbG8=", "Content-Transfer-Encoding: base64")))
	f.Add("#cloud-config\n")
	f.Add("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Disposition: a; filename*=UTF-8''%2e%2e%2fx\n\n--b--")
	f.Fuzz(func(t *testing.T, userData string) {
		root, err := renderMultipart(userData)
		if err != nil {
			return
		}
		for path := range contents(t, root) {
			for element := range strings.SplitSeq(path, "/") {
				if !document.ValidName(element) {
					t.Errorf("path %q", path)
				}
			}
		}
	})
}

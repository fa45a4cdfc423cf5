// SPDX-License-Identifier: Apache-2.0

package eve_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// dnsLabel is a label in lower case (RFC 1123, 2.1).
var dnsLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func TestLabel(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"as it is", "web-1", "web-1"},
		{"nothing", "", ""},
		{"nothing of use", " .-_", ""},
		{"capitals", "WEB", "web"},
		{"spaces and punctuation", "  Web Server, no. 1! ", "web-server-no-1"},
		{"hyphens around and doubled", "--a--b--", "a-b"},
		{"digits first", "0db", "0db"},
		{"other scripts", "Anlage Süd №7", "anlage-s-d-7"},
		{"capital that is ASCII in lower case", "\u212aelvin", "kelvin"},
		{"not UTF-8", "a\xffb", "a-b"},
		{"lines of a file", "web\n10.0.0.1 other", "web-10-0-0-1-other"},
		{"as long as can be", strings.Repeat("a", 63), strings.Repeat("a", 63)},
		{"too long", strings.Repeat("a", 64), strings.Repeat("a", 63)},
		{"hyphen where it is cut", strings.Repeat("a", 62) + " b", strings.Repeat("a", 62)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := eve.Label(tt.text); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestDomain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"as it is", "plant.example.com", "plant.example.com"},
		{"nothing", "", ""},
		{"dots only", "...", ""},
		{"dots around and doubled", ".plant..example.", "plant.example"},
		{"each label for itself", "Plant 7.EXAMPLE_com", "plant-7.example-com"},
		{"labels of nothing", "a.-.b", "a.b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := eve.Domain(tt.text); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestHostname(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("c1a40e7b-52b4-4d8b-9c3e-8a6e1f00b001")
	for _, tt := range []struct{ name, display, said, want string }{
		{"said", "Web Server 1", "web", "web"},
		{"made from the name", "Web Server 1", "", "web-server-1"},
		{"said in vain", "Web Server 1", "_", "web-server-1"},
		{"of nothing else", "№", "", id.String()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			app := eve.AppInstanceConfig{UUIDandVersion: eve.UUIDandVersion{UUID: id}, DisplayName: tt.display}
			if got := eve.Hostname(&app, &eve.InstanceMetadata{Hostname: tt.said}); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// FuzzLabel: whatever a name is, what is made of it is a label or nothing, and a label stays what it is.
func FuzzLabel(f *testing.F) {
	for _, seed := range []string{"", "web", "Web Server 1", "-a-", "a\xff\x00", "İ", strings.Repeat("ab-", 30)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		label := eve.Label(text)
		if label != "" && !dnsLabel.MatchString(label) {
			t.Errorf("%q is no label", label)
		}
		if again := eve.Label(label); again != label {
			t.Errorf("%q becomes %q", label, again)
		}
	})
}

// FuzzDomain is the same for domains.
func FuzzDomain(f *testing.F) {
	for _, seed := range []string{"", "plant.example.com", ".a..b.", "A b.C_d", "a\n.b\xff", strings.Repeat("abc.", 100)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		domain := eve.Domain(text)
		for label := range strings.SplitSeq(domain, ".") {
			if domain != "" && !dnsLabel.MatchString(label) {
				t.Errorf("%q of %q is no label", label, domain)
			}
		}
		if again := eve.Domain(domain); again != domain {
			t.Errorf("%q becomes %q", domain, again)
		}
	})
}

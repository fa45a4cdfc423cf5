// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// message is one message of netlink.
func message(kind uint16, body []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	return append(append(b, make([]byte, 10)...), body...)
}

// text is an attribute, padded.
func text(kind uint16, value string) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(value)+1))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, aligned(len(b)+1)-len(b))...)
}

// about is the body of a message about an interface of that index.
func about(index uint32, size int, attrs ...byte) []byte {
	b := make([]byte, size)
	binary.NativeEndian.PutUint32(b[4:], index)
	return append(b, attrs...)
}

func TestLinkFilter(t *testing.T) {
	t.Parallel()
	name := append(text(unix.IFLA_QDISC, "noqueue"), text(unix.IFLA_IFNAME, "bn1")...)
	other := text(unix.IFLA_IFNAME, "bn11")
	f := &linkFilter{name: "bn1"}
	for _, step := range []struct {
		what    string
		message []byte
		want    bool
	}{
		{"address, not known yet", message(unix.RTM_NEWADDR, about(7, unix.SizeofIfAddrmsg)), false},
		{"another link", message(unix.RTM_NEWLINK, about(8, unix.SizeofIfInfomsg, other...)), false},
		{"link", message(unix.RTM_NEWLINK, about(7, unix.SizeofIfInfomsg, name...)), true},
		{"address", message(unix.RTM_DELADDR, about(7, unix.SizeofIfAddrmsg)), true},
		{"address of another link", message(unix.RTM_DELADDR, about(8, unix.SizeofIfAddrmsg)), false},
		{"one of two", slices.Concat(message(unix.RTM_DELADDR, about(8, unix.SizeofIfAddrmsg)), message(unix.RTM_DELADDR, about(7, unix.SizeofIfAddrmsg))), true},
		{"link goes", message(unix.RTM_DELLINK, about(7, unix.SizeofIfInfomsg, name...)), true},
		{"link comes again", message(unix.RTM_NEWLINK, about(9, unix.SizeofIfInfomsg, name...)), true},
		{"its old index", message(unix.RTM_NEWADDR, about(7, unix.SizeofIfAddrmsg)), false},
		{"its new index", message(unix.RTM_NEWADDR, about(9, unix.SizeofIfAddrmsg)), true},
		{"nothing", nil, false},
		{"cut off", message(unix.RTM_NEWADDR, about(9, unix.SizeofIfAddrmsg))[:20], true},
	} {
		if got := concernsAny(f, step.message); got != step.want {
			t.Errorf("%s: concerns %v, want %v", step.what, got, step.want)
		}
	}
}

func TestLossFilter(t *testing.T) {
	t.Parallel()
	const nft = unix.NFNL_SUBSYS_NFTABLES << 8
	body := func(family byte, table string) []byte {
		return append([]byte{family, 0, 0, 0}, text(unix.NFTA_TABLE_NAME, table)...)
	}
	for what, tt := range map[string]struct {
		kind uint16
		body []byte
		want bool
	}{
		"table":                   {nft | unix.NFT_MSG_DELTABLE, body(unix.NFPROTO_INET, "eve-metadata"), true},
		"rule":                    {nft | unix.NFT_MSG_DELRULE, body(unix.NFPROTO_INET, "eve-metadata"), true},
		"element":                 {nft | unix.NFT_MSG_DELSETELEM, body(unix.NFPROTO_INET, "eve-metadata"), false},
		"new rule":                {nft | unix.NFT_MSG_NEWRULE, body(unix.NFPROTO_INET, "eve-metadata"), false},
		"table of another family": {nft | unix.NFT_MSG_DELTABLE, body(unix.NFPROTO_BRIDGE, "eve-metadata"), false},
		"guards":                  {nft | unix.NFT_MSG_DELTABLE, body(unix.NFPROTO_BRIDGE, "eve-metadata-guard"), true},
		"guards of no bridge":     {nft | unix.NFT_MSG_DELTABLE, body(unix.NFPROTO_INET, "eve-metadata-guard"), false},
		"another's table":         {nft | unix.NFT_MSG_DELTABLE, body(unix.NFPROTO_INET, "filter"), false},
		"cut off":                 {nft | unix.NFT_MSG_DELTABLE, []byte{unix.NFPROTO_INET}, false},
	} {
		if got := concernsAny(lossFilter{}, message(tt.kind, tt.body)); got != tt.want {
			t.Errorf("%s: concerns %v, want %v", what, got, tt.want)
		}
	}
}

// The end of a namespace that others made is noticed: of the process that it is named by, and of the file.
func TestWatchPath(t *testing.T) {
	t.Parallel()
	process := exec.Command("sleep", "600")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "blue")
	for path, end := range map[string]func() error{
		"/proc/" + strconv.Itoa(process.Process.Pid) + "/ns/net": process.Process.Kill,
		file: func() error { return errors.Join(os.WriteFile(file, nil, 0o600), os.Remove(file)) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		told, ended := make(chan struct{}, 1), make(chan error, 1)
		go func() {
			ended <- watchPath(ctx, path, func() {
				select {
				case told <- struct{}{}:
				default:
				}
			})
		}()
		again := time.NewTicker(50 * time.Millisecond) // the watch may begin after the first time
		late := time.After(time.Minute)
		for noticed := false; !noticed; {
			if err := end(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-told:
				noticed = true
			case <-again.C:
			case <-late:
				t.Fatalf("the end of %s is not noticed", path)
			}
		}
		again.Stop()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if err := process.Wait(); err == nil {
		t.Error("the process ended by itself")
	}
}

func FuzzFilters(f *testing.F) {
	f.Add(message(unix.RTM_NEWLINK, about(7, unix.SizeofIfInfomsg, text(unix.IFLA_IFNAME, "bn1")...)))
	f.Add(message(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_DELTABLE, append([]byte{1, 0, 0, 0}, text(unix.NFTA_TABLE_NAME, "eve-metadata")...)))
	f.Fuzz(func(_ *testing.T, datagram []byte) {
		concernsAny(&linkFilter{name: "bn1"}, datagram)
		concernsAny(lossFilter{}, datagram)
	})
}

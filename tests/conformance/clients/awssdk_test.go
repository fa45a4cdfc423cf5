// SPDX-License-Identifier: Apache-2.0

package clients_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/tests/tool"
)

// sdk is the AWS SDK's client in a guest. The limits on time are those that it has by itself.
func (g *guest) sdk(fallback aws.Ternary) *imds.Client {
	const dialLimit, answerLimit = 250 * time.Millisecond, 500 * time.Millisecond
	transport := &http.Transport{
		ResponseHeaderTimeout: answerLimit,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, dialLimit)
			defer cancel()
			return g.DialContext(ctx, network, address)
		},
	}
	return imds.New(imds.Options{
		HTTPClient: &http.Client{Transport: transport}, EnableFallback: fallback, ClientEnableState: imds.ClientEnabled,
	})
}

// identity is what the SDK can tell of the instance that it runs on.
type identity struct{ id, zone, region, privateIP, instanceType, account, architecture, userData string }

// readSDK asks with every operation of the SDK's client. Those that say the same must agree.
func readSDK(t *testing.T, c *imds.Client) identity {
	t.Helper()
	document, err := c.GetInstanceIdentityDocument(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := identity{
		id: document.InstanceID, zone: document.AvailabilityZone, region: document.Region, privateIP: document.PrivateIP,
		instanceType: document.InstanceType, account: document.AccountID, architecture: document.Architecture,
	}
	leaf := func(path string) (io.ReadCloser, error) {
		out, err := c.GetMetadata(t.Context(), &imds.GetMetadataInput{Path: path})
		if err != nil {
			return nil, err
		}
		return out.Content, nil
	}
	for path, want := range map[string]string{
		"instance-id": got.id, "placement/availability-zone": got.zone, "placement/region": got.region,
		"local-ipv4": got.privateIP, "instance-type": got.instanceType,
	} {
		if found := readLeaf(t, path, func() (io.ReadCloser, error) { return leaf(path) }); found != want {
			t.Errorf("%s is %q, in the identity document it is %q", path, found, want)
		}
	}
	if out, err := c.GetRegion(t.Context(), nil); err == nil && out.Region != got.region || err != nil && got.region != "" {
		t.Errorf("region %+v, %v; want %q", out, err, got.region)
	}
	listing := readLeaf(t, "dynamic", func() (io.ReadCloser, error) {
		out, err := c.GetDynamicData(t.Context(), &imds.GetDynamicDataInput{Path: "instance-identity"})
		if err != nil {
			return nil, err
		}
		return out.Content, nil
	})
	if listing != "document" {
		t.Errorf("instance-identity has %q, want the document and no signature", listing)
	}
	got.userData = readLeaf(t, "user-data", func() (io.ReadCloser, error) {
		out, err := c.GetUserData(t.Context(), nil)
		if err != nil {
			return nil, err
		}
		return out.Content, nil
	})
	return got
}

// readLeaf reads what an operation delivers; "" for what is not there.
func readLeaf(t *testing.T, path string, get func() (io.ReadCloser, error)) string {
	t.Helper()
	content, err := get()
	if status(err) == http.StatusNotFound {
		return ""
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	text, err := io.ReadAll(content)
	if err := errors.Join(err, content.Close()); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return string(text)
}

// status is that of the HTTP response behind an error; 0 for none.
func status(err error) int {
	if re, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return re.HTTPStatusCode()
	}
	return 0
}

// sdkGuests are those that the SDK reads, with what it shall find.
func (w *world) sdkGuests() map[string]identity {
	full := identity{
		id: "i-", zone: "hall-7b", region: "hall-7", privateIP: "10.11.12.5", instanceType: "large",
		account: "7b1d7a3c-0000-4000-8000-000000000042", userData: "#cloud-config\nwrite_files:\n  - path: /etc/motd\n    content: |\n      I am full.\n",
	}
	return map[string]identity{
		"full eth0": full,
		"full eth1": full,
		"strict eth0": {
			id: "i-", zone: "hall-8a", region: "hall-8", privateIP: "10.11.12.5", instanceType: "small", userData: "#cloud-config\nhostname: strict\n",
		},
		"plain eth0": {id: "i-", privateIP: w.guests["plain eth0"].status.AssignedAddresses.IPv4Addrs[0].Address.String()},
	}
}

// testSDK has the SDK read all of a guest's metadata: with tokens where there are any, and without where
// it falls back, which it may not where it is told so.
func (w *world) testSDK(t *testing.T) {
	for name, want := range w.sdkGuests() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := w.guests[name]
			compareIdentity(t, want, readSDK(t, g.sdk(aws.UnknownTernary)))
			if g.app != "plain" {
				compareIdentity(t, want, readSDK(t, g.sdk(aws.FalseTernary)))
				return
			}
			if _, err := g.sdk(aws.FalseTernary).GetMetadata(t.Context(), nil); err == nil {
				t.Error("no error without tokens and without falling back")
			}
		})
	}
}

// testJavaScript has the SDK for JavaScript read the same.
func (w *world) testJavaScript(t *testing.T) {
	const modules = "../../../.cache/js/node_modules" // by .ci/setup
	tool.Need(t, "node", "npm")
	tool.Need(t, modules+"/@aws-sdk/ec2-metadata-service", "npm")
	path, err := filepath.Abs(modules)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ guest, fallback, region string }{
		{"full eth0", "", "hall-7"}, {"full eth1", "strict", "hall-7"}, {"strict eth0", "strict", "hall-8"}, {"plain eth0", "", ""},
	} {
		t.Run(tt.guest, func(t *testing.T) {
			t.Parallel()
			g := w.guests[tt.guest]
			var got struct {
				ID, Hostname string
				Document     struct{ InstanceID, Region string }
			}
			decode(t, g.run(t, "", "env", "NODE_PATH="+path, "node", "testdata/js/read.cjs", tt.fallback), &got)
			if !strings.HasPrefix(got.ID, "i-") || got.Document.InstanceID != got.ID || got.Document.Region != tt.region {
				t.Errorf("found %+v", got)
			}
		})
	}
}

func compareIdentity(t *testing.T, want, got identity) {
	t.Helper()
	if !strings.HasPrefix(got.id, want.id) {
		t.Errorf("instance id %q does not begin with %q", got.id, want.id)
	}
	want.id, want.architecture = got.id, got.architecture
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(identity{})); diff != "" {
		t.Errorf("what the SDK found (-want +got):\n%s", diff)
	}
}

// testPolicy holds what becomes of requests without a token, and of those with a wrong one, which nothing
// but a network without tokens answers.
func (w *world) testPolicy(t *testing.T) {
	tool.Need(t, "curl", "curl")
	for name, want := range map[string][2]int{
		"full eth0": {http.StatusOK, http.StatusUnauthorized}, "full eth1": {http.StatusUnauthorized, http.StatusUnauthorized},
		"strict eth0": {http.StatusUnauthorized, http.StatusUnauthorized}, "plain eth0": {http.StatusOK, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, paths := w.guests[name], []string{"/latest/meta-data/instance-id"}
			without := g.curl(t, metadata, paths)[0].Code
			wrong := g.curl(t, metadata, paths, fmt.Sprintf("header = %q", tokenHeader+": stolen"))[0].Code
			if got := [2]int{without, wrong}; got != want {
				t.Errorf("without a token and with a wrong one: %d, want %d", got, want)
			}
		})
	}
}

// testHopLimit holds that an answer with a token comes as far as the network's policy says: one hop, or
// two where it does not say. The guest's kernel drops what could not have come further, packets with a low
// time to live (IP_MINTTL).
func (w *world) testHopLimit(t *testing.T) {
	for _, tt := range []struct {
		guest   string
		hops    int
		reaches bool
	}{
		{"strict eth0", 1, true},
		{"strict eth0", 2, false},
		{"full eth0", 2, true},
		{"full eth0", 3, false},
	} {
		t.Run(fmt.Sprintf("%s %d", tt.guest, tt.hops), func(t *testing.T) {
			t.Parallel()
			got, err := w.guests[tt.guest].token(t, tt.hops)
			if (err == nil) != tt.reaches || tt.reaches && got == "" {
				t.Errorf("token %q, error %v; want one: %t", got, err, tt.reaches)
			}
			if err != nil && !os.IsTimeout(err) {
				t.Errorf("error %v, want none or that no answer came", err)
			}
		})
	}
}

const (
	metadata    = "http://169.254.169.254"
	tokenHeader = "X-aws-ec2-metadata-token"
)

// token asks for a token from behind so many hops; "" where there are none. An error is that no answer came.
func (g *guest) token(t *testing.T, hops int) (string, error) {
	t.Helper()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := g.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return conn, dropBelow(conn.(*net.TCPConn), hops)
		},
	}
	// An answer that does come is there in milliseconds.
	client := &http.Client{Transport: transport, Timeout: 2 * time.Second}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, metadata+"/latest/api/token", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(tokenHeader+"-ttl-seconds", "60")
	resp, err := client.Do(r)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		body = nil
	}
	return string(body), errors.Join(err, resp.Body.Close())
}

// dropBelow makes the kernel drop what comes in on a connection with a lower time to live.
func dropBelow(conn *net.TCPConn, ttl int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MINTTL, ttl) })
	return errors.Join(err, failed)
}

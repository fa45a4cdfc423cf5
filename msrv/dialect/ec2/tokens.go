// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// Session tokens are EC2's IMDSv2: a guest gets one with PUT and shows it in a header from then on. A
// program in the guest that somebody tricked into fetching a URL can send neither, and a proxy that
// forwards what others ask says that it does.

const (
	// tokenPath is where tokens are had, below a version.
	tokenPath = "api/token"
	// tokenMethods are the methods of that path, as EC2 tells them.
	tokenMethods = "OPTIONS, PUT"

	tokenHeader   = "X-aws-ec2-metadata-token"
	ttlHeader     = "X-aws-ec2-metadata-token-ttl-seconds"
	forwardHeader = "X-Forwarded-For"

	// maxTTL is how many seconds a token may be good for: six hours.
	maxTTL = 21600
	// defaultHopLimit is how many hops away an answer with a token may be received where the network's
	// policy does not say. EC2's own is 1, with which a container inside a guest, one hop further, waits
	// for an answer in vain; EC2 advises 2 for those.
	defaultHopLimit = 2
)

// What is counted.
const (
	countNoToken  = "ec2_no_token"  // requests without a token, answered or not
	countBadToken = "ec2_bad_token" // requests with one that is not good, or no longer
)

// guard gives out tokens and asks for them, by the policy of the network that a request came in on.
type guard struct {
	mint     *mint
	versions map[string]bool // and "latest": what EC2's paths begin with
}

// newGuard makes a guard with a clock that tells how long it has been running.
func newGuard(clock func() time.Duration) dialect.Guard {
	g := &guard{mint: newMint(clock), versions: map[string]bool{latest: true}}
	for _, v := range versions() {
		g.versions[v] = true
	}
	return g.answer
}

// answer is the guard's word on a request; nil where the tree may answer. It is concerned with the paths of
// EC2's versions, also below "ec2"; the lists of versions are open to all, as cloudbase-init probes "/".
func (g *guard) answer(r *dialect.Request) *dialect.Answer {
	version, below, _ := strings.Cut(strings.TrimPrefix(r.Path, prefix+"/"), "/")
	policy := tokenPolicy(r.Adapter)
	switch {
	case !g.versions[version] || policy == instance.TokensOff:
		return nil
	case below == tokenPath && version == latest:
		return g.token(r)
	case below == tokenPath && r.Method == http.MethodPut:
		return dialect.Refuse(http.StatusForbidden)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return nil
	}
	return g.admit(r, policy)
}

// tokenPolicy is that of an adapter's network.
func tokenPolicy(a *instance.Adapter) instance.TokenPolicy {
	if a == nil {
		return instance.TokensOptional
	}
	return a.Tokens
}

// admit refuses a request whose token is not good, and one without where the policy requires it.
func (g *guard) admit(r *dialect.Request, policy instance.TokenPolicy) *dialect.Answer {
	sent := r.Header.Values(tokenHeader)
	switch {
	case len(sent) == 1 && g.mint.isGood(sent[0], r.Instance.UUID):
		return nil
	case len(sent) > 0:
		r.Count(countBadToken)
	default:
		r.Count(countNoToken)
		if policy != instance.TokensRequired {
			return nil
		}
	}
	return dialect.Refuse(http.StatusUnauthorized)
}

// token answers for the path of tokens.
func (g *guard) token(r *dialect.Request) *dialect.Answer {
	switch r.Method {
	case http.MethodPut:
		return g.issue(r)
	case http.MethodOptions:
		return &dialect.Answer{Status: http.StatusOK, Header: map[string]string{"Allow": tokenMethods}}
	}
	return dialect.RefuseMethod(tokenMethods)
}

// issue gives out a token: 403 to what was forwarded, 400 without a time to live that makes sense.
func (g *guard) issue(r *dialect.Request) *dialect.Answer {
	if len(r.Header.Values(forwardHeader)) > 0 {
		return dialect.Refuse(http.StatusForbidden)
	}
	seconds, ok := parseTTL(r.Header.Values(ttlHeader))
	if !ok {
		return dialect.Refuse(http.StatusBadRequest)
	}
	hops := defaultHopLimit
	if r.Adapter != nil && r.Adapter.HopLimit > 0 {
		hops = r.Adapter.HopLimit
	}
	return &dialect.Answer{
		Status:   http.StatusOK,
		Header:   map[string]string{ttlHeader: strconv.Itoa(seconds)},
		Body:     []byte(g.mint.issue(r.Instance.UUID, time.Duration(seconds)*time.Second)),
		HopLimit: hops,
	}
}

// parseTTL reads the one header with a time to live: 1 to maxTTL seconds, in digits and nothing else.
func parseTTL(sent []string) (seconds int, ok bool) {
	if len(sent) != 1 {
		return 0, false
	}
	seconds, err := strconv.Atoi(sent[0])
	return seconds, err == nil && seconds >= 1 && seconds <= maxTTL && strconv.Itoa(seconds) == sent[0]
}

// SPDX-License-Identifier: Apache-2.0

package openstack

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

const (
	passwordName = "password"
	// passwordSubject is under what a guest's password is reported.
	passwordSubject = "openstack-password"
	// maxPassword is how many bytes Nova keeps: four of its values of 255.
	maxPassword = 1020
)

// guardPassword answers for the file "password" of all versions: what a guest posted, in practice the
// administrator's password that it made up, encrypted for the owner of its SSH key. Nobody has posted:
// empty, never a 404, which cloudbase-init takes for a failure. A guest posts once; what is there stays.
func guardPassword(r *dialect.Request) *dialect.Answer {
	if !isPassword(r.Path) {
		return nil
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return &dialect.Answer{Document: document.New(document.TypeText, r.Reports.Get(passwordSubject))}
	case http.MethodPost:
		return postPassword(r)
	}
	return dialect.RefuseMethod("GET, HEAD, POST")
}

// isPassword tells whether a path is that of a password: there is one in all versions from Grizzly on.
func isPassword(path string) bool {
	below, ok := strings.CutPrefix(path, root+"/")
	version, ok2 := strings.CutSuffix(below, "/"+passwordName)
	return ok && ok2 && (version == latest || version >= grizzly && slices.Contains(versions(), version))
}

// postPassword keeps a password, with Nova's answers: 409 where there is one, whatever is posted; 400 for
// one that is too long; 200 for an empty one too, which is not kept.
func postPassword(r *dialect.Request) *dialect.Answer {
	if r.Reports.Get(passwordSubject) != nil {
		return dialect.Refuse(http.StatusConflict)
	}
	body, err := r.ReadBody(maxPassword)
	switch {
	case errors.Is(err, dialect.ErrTooLarge):
		a := dialect.Refuse(http.StatusBadRequest)
		a.Body = fmt.Appendf(nil, "A password has at most %d bytes.\n", maxPassword)
		return a
	case err != nil: // the guest stopped in the middle of it
		return dialect.Refuse(http.StatusBadRequest)
	case len(body) == 0:
		return &dialect.Answer{Status: http.StatusOK}
	}
	err = r.Reports.PutFirst(passwordSubject, body)
	switch {
	case errors.Is(err, dialect.ErrReported): // another request was faster
		return dialect.Refuse(http.StatusConflict)
	case err != nil:
		a := dialect.Refuse(http.StatusInternalServerError)
		a.Err = fmt.Errorf("keep password: %w", err)
		return a
	}
	return &dialect.Answer{Status: http.StatusOK}
}

// adminPass is the password that the guest's administrator shall have, as JSON can carry it: "" for none,
// and for bytes that are no text, which would reach the guest as other ones.
func adminPass(password instance.Opaque) string {
	if !utf8.Valid(password) {
		return ""
	}
	return string(password)
}

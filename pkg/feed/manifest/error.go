// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Error is one thing that is wrong with a manifest, said in a way that its author can act on.
type Error struct {
	File   string // as the caller named the directory, plus the name of the file
	Line   int    // 1-based; 0 when the whole file is meant
	Column int    // 1-based, in characters; 0 when not known
	Reason string // "adapters[0].mac: \"zz\" is not a MAC address"
}

// Error is "file:line: reason", as editors and compilers have it.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Reason
	}
	return e.File + ":" + strconv.Itoa(e.Line) + ": " + e.Reason
}

// position is a place in a file.
type position struct{ line, column int }

// problems collects what is wrong with one file.
type problems struct {
	file string
	errs []error
}

// add notes a problem; maxProblems of one file are enough for anybody.
func (p *problems) add(at position, format string, args ...any) {
	if len(p.errs) < maxProblems {
		p.errs = append(p.errs, &Error{File: p.file, Line: at.line, Column: at.column, Reason: fmt.Sprintf(format, args...)})
	}
}

// sorted returns the problems in the order of the file, each once: what is wrong with an aliased node is found as often
// as the node is used.
func (p *problems) sorted() []error {
	slices.SortStableFunc(p.errs, compareErrors)
	return slices.CompactFunc(p.errs, func(a, b error) bool { return a.Error() == b.Error() })
}

// compareErrors orders by place and then by text; an error without a place goes first.
func compareErrors(a, b error) int {
	var x, y Error
	if e := (*Error)(nil); errors.As(a, &e) {
		x = *e
	}
	if e := (*Error)(nil); errors.As(b, &e) {
		y = *e
	}
	return cmp.Or(cmp.Compare(x.File, y.File), cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column), cmp.Compare(a.Error(), b.Error()))
}

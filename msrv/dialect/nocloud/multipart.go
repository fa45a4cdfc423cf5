// SPDX-License-Identifier: Apache-2.0

package nocloud

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"path"
	"strings"

	"github.com/lf-edge/eve-metadata/msrv/dialect"
	"github.com/lf-edge/eve-metadata/msrv/document"
)

// Limits of a multipart user data. Its size is bounded where it comes in.
const (
	maxParts     = 1000
	maxPathBytes = 1024
	maxDepth     = 8 // directories of ISO 9660 nest no deeper (ECMA-119 section 6.8.2.1)
)

// errNotMultipart is user data that is no MIME multipart message: it gets the usual layout.
var errNotMultipart = errors.New("not a MIME multipart message")

// multipartTree takes user data apart: each part of the MIME multipart message is a file of the drive,
// under the file name that its Content-Disposition gives, directories included, and nothing is added
// (EVE, domainmgr). It is errNotMultipart for what is no such message. Errors tell the number of a part
// and its name, never its content.
func multipartTree(userData []byte) (*document.Node, error) {
	r, err := multipartReader(userData)
	if err != nil {
		return nil, err
	}
	root := newFolder()
	for number := 1; ; number++ {
		part, err := r.NextPart()
		switch {
		case errors.Is(err, io.EOF) && number == 1:
			return nil, errors.New("user data: the multipart message has no parts")
		case errors.Is(err, io.EOF):
			return root.node(), nil
		case err != nil:
			return nil, fmt.Errorf("user data: part %d: its header is malformed", number)
		case number > maxParts:
			return nil, fmt.Errorf("user data: more than %d parts", maxParts)
		}
		if err := root.addPart(part); err != nil {
			return nil, fmt.Errorf("user data: part %d: %w", number, err)
		}
	}
}

func multipartReader(userData []byte) (*multipart.Reader, error) {
	msg, err := mail.ReadMessage(bytes.NewReader(userData))
	if err != nil {
		return nil, errNotMultipart
	}
	mediaType, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(mediaType, "multipart/") || params["boundary"] == "" {
		return nil, errNotMultipart
	}
	// The reader takes some ends of the data for the end of the message (RFC 2046 section 5.1.1).
	if !bytes.Contains(userData, []byte("\n--"+params["boundary"]+"--")) {
		return nil, errors.New("user data: the multipart message is cut short, its last boundary is missing")
	}
	return multipart.NewReader(msg.Body, params["boundary"]), nil
}

// addPart puts a part where its file name says.
func (f *folder) addPart(part *multipart.Part) error {
	elements, err := partPath(part.Header.Get("Content-Disposition"))
	if err != nil {
		return err
	}
	name := strings.Join(elements, "/")
	content, err := io.ReadAll(decoded(part))
	if err != nil {
		return fmt.Errorf("file %q: the content is badly encoded", name)
	}
	if err := f.add(elements, document.New(document.TypeBytes, content)); err != nil {
		return fmt.Errorf("file %q: %w", name, err)
	}
	return nil
}

// decoded undoes base64, as RFC 2045 has it; the reader of parts has undone quoted-printable itself.
func decoded(part *multipart.Part) io.Reader {
	if strings.EqualFold(strings.TrimSpace(part.Header.Get("Content-Transfer-Encoding")), "base64") {
		return base64.NewDecoder(base64.StdEncoding, part)
	}
	return part
}

// partPath is the path that a Content-Disposition gives a part, in elements, relative to the drive.
// (multipart.Part.FileName would leave the directories out.)
func partPath(disposition string) ([]string, error) {
	_, params, err := mime.ParseMediaType(disposition)
	if err != nil || params["filename"] == "" {
		return nil, errors.New("there is no file name in its Content-Disposition")
	}
	name := params["filename"]
	if len(name) > maxPathBytes {
		return nil, fmt.Errorf("the file name is longer than %d bytes", maxPathBytes)
	}
	clean := path.Clean(strings.TrimLeft(name, "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return nil, fmt.Errorf("the file name %q leads out of the drive", name)
	}
	elements := strings.Split(clean, "/")
	if len(elements) > maxDepth {
		return nil, fmt.Errorf("the file name %q has more than %d levels", name, maxDepth)
	}
	for _, e := range elements {
		if !document.ValidName(e) || dialect.OneLine(e) != e {
			return nil, fmt.Errorf("the file name %q cannot be the name of a file", name)
		}
	}
	return elements, nil
}

// SPDX-License-Identifier: Apache-2.0

package dialecttest

import "github.com/lf-edge/eve-metadata/msrv/document"

// CheckListing and CheckDocument are what Run asks of every directory and every file.
func CheckListing(n *document.Node) error      { return checkListing("", n) }
func CheckDocument(d *document.Document) error { return checkFile(document.File(d), "", d) }
func GoldenText(n *document.Node) string       { return goldenText(n) }
func ParseExamples(text string) (found [][3]string) {
	for _, e := range parseExamples(text) {
		found = append(found, [3]string{e.carrier, e.path, e.want})
	}
	return found
}

// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"encoding/base64"
	"strings"

	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// decodeBase64 decodes standard base64 with or without line breaks, as EVE does.
func decodeBase64(text string) (instance.Opaque, error) {
	return base64.StdEncoding.DecodeString(strings.TrimSpace(text))
}

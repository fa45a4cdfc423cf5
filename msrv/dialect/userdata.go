// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"github.com/lf-edge/eve-metadata/msrv/document"
	"github.com/lf-edge/eve-metadata/msrv/instance"
)

// UserData is the user data byte for byte; nil where there is none, which is not the same as user data
// of no bytes. User data that there should be but cannot be read is a faulty document.
func UserData(in *instance.Instance) *document.Document {
	switch {
	case in.UserDataFault != "":
		return document.Faulty(in.UserDataFault)
	case in.UserData == nil:
		return nil
	}
	return document.New(document.TypeBytes, in.UserData)
}

// SPDX-License-Identifier: Apache-2.0

// Package evecommon has the types that messages of several packages need, among
// them object encryption: CipherContext, CipherBlock and EncryptionBlock.
package evecommon

// SPDX-License-Identifier: Apache-2.0

// Package info has what the metadata service reports to a controller. EVE has
// many more reports; this project sends none of them.
package info

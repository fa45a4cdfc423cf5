// SPDX-License-Identifier: Apache-2.0

// Package config has what a controller wants of a device: EdgeDevConfig, all
// that it is made of, and the request by which a device asks for it.
package config

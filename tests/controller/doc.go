// SPDX-License-Identifier: Apache-2.0

// Package controller is a small controller of edge nodes for tests: it speaks EVE's API, versions 1 and 2, over HTTPS,
// and is as strict as Adam (lf-edge/adam, the reference controller) is, or stricter where EVE's devices do better than
// Adam asks for.
//
// In come devices' requests and, from the test, configurations; out come answers that are signed as Adam signs them. A
// test reads what was asked (Requests, Wait), rotates certificates (SetSigner, Offer, Rotate…) and has answers spoiled
// (Vary). Everything that it knows is in memory.
//
// It shares no code with the device's side, but for what encrypts user data: what an envelope, a signature or a hash of a
// certificate is, is said here a second time, so that a test of one against the other tests both.
//
// It attests devices without a TPM only, keeps no logs, and does not forget a device.
package controller

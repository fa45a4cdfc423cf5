// SPDX-License-Identifier: Apache-2.0

// Package uuid has the messages by which a device learns the UUID that its
// controller gave it. Its folder has another name, as it has in EVE: most users
// import it as eveuuid.
package uuid

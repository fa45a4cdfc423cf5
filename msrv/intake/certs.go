// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"encoding/hex"
	"sync"

	"github.com/lf-edge/eve-metadata/pkg/eve"
)

// Certs are the certificates that user data is decrypted with, as the topics have them now. The zero value has none. It is
// used by any number of goroutines.
type Certs struct {
	mu         sync.RWMutex
	controller map[string]eve.ControllerCert // by the topic's key, the hash in hexadecimal
	device     map[string]eve.EdgeNodeCert
}

// Controller returns the controller's certificate that has a hash.
func (c *Certs) Controller(hash []byte) (eve.ControllerCert, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	cert, ok := c.controller[hex.EncodeToString(hash)]
	return cert, ok
}

// Device returns the node's certificate that has a hash.
func (c *Certs) Device(hash []byte) (eve.EdgeNodeCert, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	cert, ok := c.device[hex.EncodeToString(hash)]
	return cert, ok
}

func (c *Certs) setController(key string, cert eve.ControllerCert, there bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.controller = changed(c.controller, key, cert, there)
}

func (c *Certs) setDevice(key string, cert eve.EdgeNodeCert, there bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.device = changed(c.device, key, cert, there)
}

// changed is a table with a value set or deleted.
func changed[T any](table map[string]T, key string, value T, there bool) map[string]T {
	if table == nil {
		table = make(map[string]T)
	}
	if there {
		table[key] = value
	} else {
		delete(table, key)
	}
	return table
}

// SPDX-License-Identifier: Apache-2.0

package plantest

import (
	"errors"
	"io/fs"
	"slices"

	"github.com/lf-edge/eve-metadata/nim/plan"
)

// changeTable carries out a step on nftables.
func changeTable(ns *plan.Namespace, step plan.Step) error {
	switch s := step.(type) {
	case plan.TableAdd:
		if ns.Tables == nil {
			ns.Tables = map[string]plan.Table{}
		}
		ns.Tables[s.Table] = plan.Table{Sets: map[string][]string{}}
		return nil
	case plan.TableDel:
		if _, ok := ns.Tables[s.Table]; !ok {
			return fs.ErrNotExist
		}
		delete(ns.Tables, s.Table)
		return nil
	case plan.ElementAdd:
		t, ok := ns.Tables[s.Table]
		if !ok || slices.Contains(t.Sets[s.Set], s.Element) {
			return missing(!ok)
		}
		t.Sets[s.Set] = append(t.Sets[s.Set], s.Element)
		return nil
	case plan.ElementDel:
		elements := ns.Tables[s.Table].Sets[s.Set]
		i := slices.Index(elements, s.Element)
		if i < 0 {
			return fs.ErrNotExist
		}
		ns.Tables[s.Table].Sets[s.Set] = slices.Delete(elements, i, i+1)
		return nil
	}
	return errors.New("unknown step")
}

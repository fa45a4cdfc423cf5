// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/lf-edge/eve-metadata/nim/plan"
	"github.com/lf-edge/eve-metadata/pkg/netns"
)

// What one transaction may have. It has to fit into a netlink socket's buffers, which without privileges in the first user
// namespace hold 208 KiB, and a list of elements into an attribute, which is half of 64 KiB with the largest elements.
const (
	maxChanges  = 2000 // in a transaction
	maxElements = 1000 // in a message
)

// rules is work on the nftables of one namespace, through one netlink socket. It is used by one goroutine.
type rules struct {
	options []nftables.ConnOption
	conn    *nftables.Conn
	tables  map[string]*table
	setID   uint32 // of the last set that was made: IDs are told apart within a transaction
}

// openRules opens the nftables of a namespace, nil for the process's own. The namespace has to stay open until close.
func openRules(ns *netns.Namespace) (*rules, error) {
	t := &rules{options: []nftables.ConnOption{nftables.AsLasting()}, tables: tables()}
	if ns != nil {
		t.options = append(t.options, nftables.WithNetNSFd(int(ns.Handle())))
	}
	if err := t.reopen(); err != nil {
		return nil, err
	}
	return t, nil
}

// reopen opens a new socket. On the old one there may be answers left to what failed, that would be taken for those to the
// next question.
func (t *rules) reopen() error {
	if err := t.close(); err != nil {
		return err
	}
	conn, err := nftables.New(t.options...)
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	t.conn = conn
	return nil
}

func (t *rules) close() error {
	if t.conn == nil {
		return nil
	}
	if err := t.conn.CloseLasting(); err != nil {
		return fmt.Errorf("close nftables: %w", err)
	}
	return nil
}

// observe returns those of our tables, by the names that plans have for them, that are there and whole. One whose chains
// or rules are not as they should be is not: it has to be made anew.
func (t *rules) observe(names ...string) (map[string]plan.Table, error) {
	seen := make(map[string]plan.Table, len(names))
	for _, name := range names {
		table, ok := t.tables[name]
		if !ok {
			return nil, fmt.Errorf("look at table %q: %w", name, errors.ErrUnsupported)
		}
		found, err := t.find(table)
		if err != nil {
			if found, err = t.findAgain(table, err); err != nil {
				return nil, fmt.Errorf("look at table %q: %w", name, err)
			}
		}
		if found != nil {
			seen[name] = *found
		}
	}
	return seen, nil
}

// findAgain looks at a table once more, over a new connection, where something went wrong: somebody may have taken the table
// away between two questions. The error is then only what goes wrong again.
func (t *rules) findAgain(table *table, first error) (*plan.Table, error) {
	if err := t.reopen(); err != nil {
		return nil, errors.Join(first, err)
	}
	found, err := t.find(table)
	if err != nil {
		return nil, errors.Join(err, t.reopen())
	}
	return found, nil
}

// find returns what plans know of a table; nil when it is not there or not whole.
func (t *rules) find(table *table) (*plan.Table, error) {
	if whole, err := t.whole(table); err != nil || !whole {
		return nil, err
	}
	found := &plan.Table{Sets: map[string][]string{}}
	for _, s := range table.sets {
		if !table.planned(s) {
			continue
		}
		elements, err := t.conn.GetSetElements(&nftables.Set{Table: &table.Table, Name: s.name})
		if err != nil {
			return nil, fmt.Errorf("list elements of %q: %w", s.name, err)
		}
		for _, e := range elements {
			text, err := s.key.decode(e.Key)
			if err != nil {
				return nil, nil //nolint:nilerr,nilnil // somebody has made a set of another type: not whole
			}
			found.Sets[s.name] = append(found.Sets[s.name], text)
		}
		slices.Sort(found.Sets[s.name])
	}
	return found, nil
}

// whole tells whether a table has the chains that it should have, and they their rules.
func (t *rules) whole(table *table) (bool, error) {
	all, err := t.conn.ListChainsOfTableFamily(table.Family)
	if err != nil {
		return false, fmt.Errorf("list chains: %w", err)
	}
	seen := map[string]*nftables.Chain{}
	for _, c := range all {
		if c.Table.Name == table.Name {
			seen[c.Name] = c
		}
	}
	if len(seen) != len(table.chains) {
		return false, nil
	}
	for _, c := range table.chains {
		if !c.is(seen[c.name]) {
			return false, nil
		}
	}
	for _, c := range table.chains {
		if same, err := t.sameRules(table, c); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// is tells whether the kernel's chain is this one.
func (c chain) is(seen *nftables.Chain) bool {
	if seen == nil || c.hook == nil || seen.Hooknum == nil || seen.Policy == nil {
		return seen != nil && c.hook == nil && seen.Hooknum == nil
	}
	return seen.Type == c.kind && *seen.Hooknum == *c.hook && *seen.Priority == c.priority && *seen.Policy == c.policy
}

func (t *rules) sameRules(table *table, c chain) (bool, error) {
	seen, err := t.conn.GetRules(&table.Table, &nftables.Chain{Name: c.name})
	if err != nil {
		return false, fmt.Errorf("list rules of %q: %w", c.name, err)
	}
	return slices.EqualFunc(seen, c.rules, func(have *nftables.Rule, want rule) bool {
		return reflect.DeepEqual(have.Exprs, want.exprs)
	}), nil
}

// apply carries out steps on tables and elements, and returns a StepError for each that failed. All of them are one
// transaction, or few if there are thousands: packets meet what was before it or what is after it. What is there already
// when it should be made, and gone already when it should be removed, is no failure.
//
// One failure undoes the transaction; then all that it was made of is done again, each on its own.
func (t *rules) apply(steps []plan.Step) []error {
	changes, errs := t.changes(steps)
	for some := range slices.Chunk(changes, maxChanges) {
		if t.commit(grouped(some)...) == nil {
			continue
		}
		for _, c := range some {
			if err := tolerate(t.commit(c), c.action.tolerated()...); err != nil {
				errs = append(errs, &StepError{Step: c.step, Err: err})
			}
		}
	}
	return errs
}

// commit makes a transaction of changes.
func (t *rules) commit(changes ...change) error {
	for _, c := range changes {
		if err := t.queue(c); err != nil {
			return errors.Join(err, t.reopen())
		}
	}
	err := t.conn.Flush()
	if err == nil {
		return nil
	}
	if again := t.reopen(); again != nil {
		return again
	}
	return err
}

// action is what a change does. Of several changes the actions are done in this order: an address is taken from the one who
// had it before another gets it.
type action int

const (
	addTable action = iota
	delElements
	addElements
	delTable
)

// tolerated returns the errors that say that there was nothing to do.
func (a action) tolerated() []error {
	switch a {
	case addTable, addElements:
		return []error{unix.EEXIST}
	case delTable, delElements:
		return []error{unix.ENOENT}
	}
	return nil
}

// target is what a change is made to, and how.
type target struct {
	action action
	table  *table
	set    *set // nil: the table
}

// change is what is to be done for a step, or for several alike, the last of which it names.
type change struct {
	target
	step     plan.Step
	elements []nftables.SetElement
}

// changes returns what steps change, in the order in which it is to be done, and the errors of those steps that say nothing
// that could be.
func (t *rules) changes(steps []plan.Step) ([]change, []error) {
	changes := make([]change, 0, len(steps))
	var errs []error
	for _, s := range steps {
		more, err := t.changesOf(s)
		if err != nil {
			errs = append(errs, &StepError{Step: s, Err: err})
			continue
		}
		changes = append(changes, more...)
	}
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(a.action, b.action) })
	return changes, errs
}

func (t *rules) changesOf(step plan.Step) ([]change, error) {
	switch s := step.(type) {
	case plan.TableAdd:
		return t.tableChange(s, addTable, s.Table)
	case plan.TableDel:
		return t.tableChange(s, delTable, s.Table)
	case plan.ElementAdd:
		return t.elementChange(s, addElements, s.Table, s.Set, s.Element)
	case plan.ElementDel:
		return t.elementChange(s, delElements, s.Table, s.Set, s.Element)
	}
	return nil, fmt.Errorf("do a %T: %w", step, errors.ErrUnsupported)
}

func (t *rules) tableChange(step plan.Step, a action, name string) ([]change, error) {
	table, ok := t.tables[name]
	if !ok {
		return nil, fmt.Errorf("find table %q: %w", name, errors.ErrUnsupported)
	}
	return []change{{target: target{action: a, table: table}, step: step}}, nil
}

func (t *rules) elementChange(step plan.Step, a action, name, setName, element string) ([]change, error) {
	table, ok := t.tables[name]
	if !ok {
		return nil, fmt.Errorf("find table %q: %w", name, errors.ErrUnsupported)
	}
	s := table.set(setName)
	if s == nil || !table.planned(*s) {
		return nil, fmt.Errorf("find set %q: %w", setName, errors.ErrUnsupported)
	}
	key, err := s.key.encode(element)
	if err != nil {
		return nil, err
	}
	changes := []change{{target: target{a, table, s}, step: step, elements: []nftables.SetElement{{Key: key}}}}
	for _, b := range s.beside {
		other := table.set(b.set)
		e := nftables.SetElement{Key: s.key.parts(key, b.part, len(other.key))}
		if other.isMap() {
			e.Val = s.key.parts(key, len(s.key)-1, 1)[:other.data.Bytes]
		}
		changes = append(changes, change{target: target{a, table, other}, step: step, elements: []nftables.SetElement{e}})
	}
	return changes, nil
}

// grouped makes one change of those that do the same to one set, as far as a message holds them.
func grouped(changes []change) []change {
	groups := make([]change, 0, len(changes))
	open := map[target]int{} // the group that more can go into
	for _, c := range changes {
		if i, ok := open[c.target]; ok && len(groups[i].elements) < maxElements {
			groups[i].elements = append(groups[i].elements, c.elements...)
			continue
		}
		open[c.target] = len(groups)
		groups = append(groups, c)
	}
	return groups
}

// queue puts a change into the transaction that is next.
func (t *rules) queue(c change) error {
	switch c.action {
	case addTable:
		return t.queueTable(c.table)
	case delTable:
		t.conn.DelTable(&c.table.Table)
		return nil
	}
	set := &nftables.Set{Table: &c.table.Table, Name: c.set.name, IsMap: c.set.isMap()}
	if c.action == addElements {
		return t.conn.SetAddElements(set, c.elements)
	}
	return t.conn.SetDeleteElements(set, c.elements)
}

// queueTable makes a table, in the place of one that may be there. Only one that is there is deleted: what is left of it the
// kernel clears away milliseconds later, and whoever closes the socket waits for that.
func (t *rules) queueTable(table *table) error {
	switch _, err := t.conn.ListTableOfFamily(table.Name, table.Family); {
	case err == nil:
		t.conn.DelTable(&table.Table)
	case !errors.Is(err, unix.ENOENT):
		return fmt.Errorf("look for table: %w", err)
	}
	t.conn.AddTable(&table.Table)
	for _, s := range table.sets {
		if err := t.queueSet(table, s); err != nil {
			return fmt.Errorf("make set %q: %w", s.name, err)
		}
	}
	for _, c := range table.chains {
		added := &nftables.Chain{Table: &table.Table, Name: c.name}
		if c.hook != nil {
			added.Type, added.Hooknum, added.Priority, added.Policy = c.kind, c.hook, &c.priority, &c.policy
		}
		t.conn.AddChain(added)
	}
	for _, c := range table.chains {
		for _, r := range c.rules {
			t.conn.AddRule(&nftables.Rule{Table: &table.Table, Chain: &nftables.Chain{Name: c.name}, Exprs: r.exprs})
		}
	}
	return nil
}

func (t *rules) queueSet(table *table, s set) error {
	datatype, err := s.key.datatype()
	if err != nil {
		return err
	}
	t.setID++
	return t.conn.AddSet(&nftables.Set{
		Table: &table.Table, Name: s.name, KeyType: datatype, IsMap: s.isMap(), DataType: s.data.SetDatatype,
		ID:      t.setID, // or the library counts them, for all goroutines and without a lock
		Dynamic: s.dynamic, HasTimeout: s.timeout != 0, Timeout: s.timeout, Size: s.size,
	}, nil)
}

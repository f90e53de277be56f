package config

import (
	"reflect"
	"slices"
)

// ChangeKind says what became of a section.
type ChangeKind uint8

// The kinds of changes.
const (
	Added ChangeKind = iota + 1
	Removed
	Changed
)

func (k ChangeKind) String() string { return [...]string{"", "added", "removed", "changed"}[k&3] }

// Change is one section that differs between two configurations.
type Change struct {
	Kind ChangeKind
	Name string
}

// Changes are what differs between two configurations in effect. Where a
// section stands, how it is written and what it inherits do not count, only
// what comes of it.
type Changes struct {
	Interface bool
	Resolver  bool
	Default   bool // the remote of last resort

	Remotes   []Change
	Selectors []Change
	Policies  []Change // with the ipsec and sa sections that they name
	Pools     []Change

	// RemoteOrder and SelectorOrder say that sections that both have stand in
	// another order: the first remote that fits wins, and so does the first of
	// two selectors that nothing else ranks.
	RemoteOrder   bool
	SelectorOrder bool
}

// Empty reports whether nothing differs.
func (c Changes) Empty() bool {
	return !c.Interface && !c.Resolver && !c.Default && !c.RemoteOrder && !c.SelectorOrder &&
		len(c.Remotes)+len(c.Selectors)+len(c.Policies)+len(c.Pools) == 0
}

// Diff compares two configurations. Changed and removed sections come in the
// order of the old one, and behind them the new ones in theirs. A section that
// only refers to one that changed has not changed itself: a selector whose
// policy changed is found by its policy.
func Diff(old, now *Config) Changes {
	d := Changes{
		Interface: !sameSettings(old.Interface, now.Interface),
		Resolver:  !sameSettings(old.Resolver, now.Resolver),
		Default:   (old.Default == nil) != (now.Default == nil) || old.Default != nil && !sameSettings(*old.Default, *now.Default),
	}
	d.Remotes, d.RemoteOrder = changesOf(old.Remotes, now.Remotes, func(r *Remote) string { return r.Name })
	d.Selectors, d.SelectorOrder = changesOf(old.Selectors, now.Selectors, func(s *Selector) string { return s.Name })
	d.Policies, _ = changesOf(old.Policies, now.Policies, func(p *Policy) string { return p.Name })
	d.Pools, _ = changesOf(old.AddressPools, now.AddressPools, func(p *AddressPool) string { return p.Name })
	return d
}

// changesOf compares two lists of sections by name.
func changesOf[T any](old, now []*T, name func(*T) string) (changes []Change, reordered bool) {
	byName := make(map[string]*T, len(now))
	for _, x := range now {
		byName[name(x)] = x
	}
	known := make(map[string]bool, len(old))
	var kept []string
	for _, x := range old {
		n := name(x)
		known[n] = true
		switch y := byName[n]; {
		case y == nil:
			changes = append(changes, Change{Removed, n})
			continue
		case !sameSettings(*x, *y):
			changes = append(changes, Change{Changed, n})
		}
		kept = append(kept, n)
	}
	var common []string
	for _, x := range now {
		if n := name(x); known[n] {
			common = append(common, n)
		} else {
			changes = append(changes, Change{Added, n})
		}
	}
	return changes, !slices.Equal(kept, common)
}

// sameSettings compares two values without their positions. What they refer to
// by name is compared by name, and what belongs to them is compared whole.
func sameSettings[T any](a, b T) bool {
	return sameValue(reflect.ValueOf(a), reflect.ValueOf(b))
}

func sameValue(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Struct:
		return sameStruct(a, b)
	case reflect.Pointer:
		return samePointer(a, b)
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !sameValue(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		return reflect.DeepEqual(a.Interface(), b.Interface())
	}
	return a.Interface() == b.Interface()
}

func sameStruct(a, b reflect.Value) bool {
	if a.Type() == reflect.TypeFor[Pos]() {
		return true
	}
	if a.Comparable() && a.Interface() == b.Interface() {
		return true
	}
	if a.Type().PkgPath() != reflect.TypeFor[Config]().PkgPath() {
		return a.Comparable() && a.Interface() == b.Interface()
	}
	for i := range a.NumField() {
		if !sameValue(a.Field(i), b.Field(i)) {
			return false
		}
	}
	return true
}

func samePointer(a, b reflect.Value) bool {
	if a.IsNil() || b.IsNil() {
		return a.IsNil() == b.IsNil()
	}
	switch x := a.Interface().(type) {
	case *Remote:
		return x.Name == b.Interface().(*Remote).Name
	case *Selector:
		return x.Name == b.Interface().(*Selector).Name
	case *Policy:
		return x.Name == b.Interface().(*Policy).Name
	case *AddressPool:
		return x.Name == b.Interface().(*AddressPool).Name
	}
	return sameValue(a.Elem(), b.Elem())
}

//go:build !linux

package agent

import "errors"

// makeXFRM fails: XFRM interfaces are Linux's.
func makeXFRM(wanted []xfrmLink) ([]xfrmLink, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	return nil, errors.New("this system has no XFRM interfaces")
}

// removeXFRM has nothing to remove.
func removeXFRM([]xfrmLink) ([]string, error) { return nil, nil }

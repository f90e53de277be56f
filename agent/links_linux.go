package agent

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"racoon2/kernel/netlink/route"
)

// makeXFRM makes the interfaces that are missing and sets all of them up. One
// that is there already must be an XFRM interface with the same identifier.
func makeXFRM(wanted []xfrmLink) (made []xfrmLink, err error) {
	c, err := route.Dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for _, w := range wanted {
		l, err := c.LinkByName(w.name)
		switch {
		case errors.Is(err, unix.ENODEV):
			if err := c.AddXFRM(w.name, w.ifID, linkAlias); err != nil {
				return made, fmt.Errorf("%v: %w", w.pos, err)
			}
			made = append(made, w)
			if l, err = c.LinkByName(w.name); err != nil {
				return made, err
			}
		case err != nil:
			return made, err
		case l.Kind != route.KindXFRM:
			return made, fmt.Errorf("%v: the interface %s is there already and is no XFRM interface; give another name", w.pos, w.name)
		case l.IfID != w.ifID:
			return made, fmt.Errorf("%v: the interface %s is there already with if_id %d, not %d", w.pos, w.name, l.IfID, w.ifID)
		}
		if err := c.SetUp(l.Index, true); err != nil {
			return made, err
		}
	}
	return made, nil
}

// removeXFRM removes the interfaces that agents have made, but those given.
func removeXFRM(but []xfrmLink) (gone []string, err error) {
	c, err := route.Dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	links, err := c.Links()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		if l.Kind != route.KindXFRM || l.Alias != linkAlias ||
			slices.ContainsFunc(but, func(w xfrmLink) bool { return w.name == l.Name }) {
			continue
		}
		if e := c.DeleteLink(l.Index); e != nil {
			err = errors.Join(err, e)
			continue
		}
		gone = append(gone, l.Name)
	}
	return gone, err
}

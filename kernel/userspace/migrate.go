package userspace

import (
	"fmt"
	"net/netip"

	"racoon2/kernel"
)

// migrate moves a policy's templates and the SAs that serve them to other end
// points. The SAs keep their keys, numbers and counters.
func (c *core) migrate(m kernel.Migrate, pathMTU func(netip.Addr) int) (id kernel.PolicyID, err error) {
	if err := capabilities.CheckMigrate(m); err != nil {
		return 0, err
	}
	peer := m.NewDst
	if m.Direction != kernel.Out {
		peer = m.NewSrc
	}
	mtu := pathMTU(peer) // asks the host: not under the lock
	c.locked(func() {
		p := c.spd.find(m.Selector, m.Direction)
		if p == nil {
			err = fmt.Errorf("policy %v %v: %w", m.Direction, m.Selector, kernel.ErrNotFound)
			return
		}
		id = p.ID
		if !m.MoveTemplates(p.Templates) {
			err = fmt.Errorf("policy %v %v: no %v template from %v to %v: %w",
				m.Direction, m.Selector, m.Proto, m.OldSrc, m.OldDst, kernel.ErrNotFound)
			return
		}
		c.sad.migrate(m, mtu)
	})
	return id, err
}

// migrate moves the SAs of one direction.
func (d *sad) migrate(m kernel.Migrate, pathMTU int) {
	for _, x := range d.all() {
		if x.Proto != m.Proto || x.Mode != m.Mode || m.ReqID != 0 && x.ReqID != m.ReqID ||
			x.Src != m.OldSrc || x.Dst != m.OldDst || (x.Direction == kernel.Out) != (m.Direction == kernel.Out) {
			continue
		}
		moved := x.SA
		moved.Src, moved.Dst, moved.Encap = m.NewSrc, m.NewDst, m.Encap
		d.move(x, moved)
		x.pathMTU = pathMTU
	}
}

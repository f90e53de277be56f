package route

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"racoon2/kernel/netlink"
)

// Link is a network interface.
type Link struct {
	Index   int
	Name    string
	Kind    string // "veth", "tun"; "" for hardware and the loopback
	MTU     int    // octets of a packet
	Address []byte // link-layer address
	Up      bool   // set up by the administrator
	Alias   string // free text; "" when nobody gave one
	IfID    uint32 // of an XFRM interface
}

const ifInfoLen = unix.SizeofIfInfomsg

const (
	vethInfoPeer = 1 // VETH_INFO_PEER of linux/veth.h
	xfrmIfID     = 2 // IFLA_XFRM_IF_ID of linux/if_link.h
)

// linkHeader is struct ifinfomsg.
func linkHeader(index int, flags, change uint32) []byte {
	h := make([]byte, ifInfoLen)
	binary.NativeEndian.PutUint32(h[4:], uint32(index))
	binary.NativeEndian.PutUint32(h[8:], flags)
	binary.NativeEndian.PutUint32(h[12:], change)
	return h
}

// Links returns all network interfaces.
func (c *Conn) Links() ([]Link, error) {
	replies, err := c.dump("links", unix.RTM_GETLINK, linkHeader(0, 0, 0))
	if err != nil {
		return nil, err
	}
	var links []Link
	for _, r := range replies {
		if l, ok := parseLink(r); ok {
			links = append(links, l)
		}
	}
	return links, nil
}

// LinkByName finds an interface; the error is unix.ENODEV's when there is none.
func (c *Conn) LinkByName(name string) (Link, error) {
	links, err := c.Links()
	if err != nil {
		return Link{}, err
	}
	for _, l := range links {
		if l.Name == name {
			return l, nil
		}
	}
	return Link{}, fmt.Errorf("interface %s: %w", name, unix.ENODEV)
}

func parseLink(m netlink.Message) (Link, bool) {
	if m.Type != unix.RTM_NEWLINK || len(m.Body) < ifInfoLen {
		return Link{}, false
	}
	l := Link{
		Index: int(int32(native32(m.Body[4:]))),
		Up:    native32(m.Body[8:])&unix.IFF_UP != 0,
	}
	a := netlink.ParseAttributes(m.Body[ifInfoLen:])
	for a.Next() {
		switch a.Type() {
		case unix.IFLA_IFNAME:
			l.Name = a.String()
		case unix.IFLA_MTU:
			l.MTU = int(a.U32())
		case unix.IFLA_ADDRESS:
			l.Address = append([]byte(nil), a.Octets()...)
		case unix.IFLA_IFALIAS:
			l.Alias = a.String()
		case unix.IFLA_LINKINFO:
			l.parseInfo(a.Nested())
		}
	}
	return l, a.Err() == nil
}

// parseInfo reads what an interface has of its kind.
func (l *Link) parseInfo(info *netlink.Attributes) {
	for info.Next() {
		switch info.Type() {
		case unix.IFLA_INFO_KIND:
			l.Kind = info.String()
		case unix.IFLA_INFO_DATA:
			if l.Kind != KindXFRM {
				continue
			}
			for data := info.Nested(); data.Next(); {
				if data.Type() == xfrmIfID {
					l.IfID = data.U32()
				}
			}
		}
	}
}

// SetUp sets an interface up or down.
func (c *Conn) SetUp(index int, up bool) error {
	var b netlink.Builder
	var flags uint32
	if up {
		flags = unix.IFF_UP
	}
	b.Raw(linkHeader(index, flags, unix.IFF_UP))
	return c.do(fmt.Sprintf("set interface %d up=%v", index, up), unix.RTM_NEWLINK, 0, &b)
}

// SetMTU sets the largest packet of an interface, in octets.
func (c *Conn) SetMTU(index, mtu int) error {
	var b netlink.Builder
	b.Raw(linkHeader(index, 0, 0))
	b.U32(unix.IFLA_MTU, uint32(mtu))
	return c.do(fmt.Sprintf("set MTU %d of interface %d", mtu, index), unix.RTM_NEWLINK, 0, &b)
}

// NoLinkLocal keeps the kernel from giving an interface an IPv6 link-local
// address when it goes up.
func (c *Conn) NoLinkLocal(index int) error {
	const addrGenModeNone = 1 // IN6_ADDR_GEN_MODE_NONE
	var b netlink.Builder
	b.Raw(linkHeader(index, 0, 0))
	b.Nested(unix.IFLA_AF_SPEC, func(b *netlink.Builder) {
		b.Nested(unix.AF_INET6, func(b *netlink.Builder) {
			b.U8(unix.IFLA_INET6_ADDR_GEN_MODE, addrGenModeNone)
		})
	})
	return c.do(fmt.Sprintf("set address mode of interface %d", index), unix.RTM_NEWLINK, 0, &b)
}

// VethEnd is one end of a veth pair: its name, and the descriptor of the
// network namespace that it goes into; a negative one leaves it here.
type VethEnd struct {
	Name string
	NS   int
}

// AddVeth makes a pair of joined interfaces.
func (c *Conn) AddVeth(a, z VethEnd) error {
	end := func(b *netlink.Builder, e VethEnd) {
		b.String(unix.IFLA_IFNAME, e.Name)
		if e.NS >= 0 {
			b.U32(unix.IFLA_NET_NS_FD, uint32(e.NS))
		}
	}
	var b netlink.Builder
	b.Raw(linkHeader(0, 0, 0))
	end(&b, a)
	b.Nested(unix.IFLA_LINKINFO, func(b *netlink.Builder) {
		b.String(unix.IFLA_INFO_KIND, "veth")
		b.Nested(unix.IFLA_INFO_DATA, func(b *netlink.Builder) {
			b.Nested(vethInfoPeer, func(b *netlink.Builder) {
				b.Raw(linkHeader(0, 0, 0))
				end(b, z)
			})
		})
	})
	return c.do("add veth pair "+a.Name+", "+z.Name, unix.RTM_NEWLINK, netlink.FlagCreate|netlink.FlagExcl, &b)
}

// KindXFRM is the Kind of XFRM interfaces.
const KindXFRM = "xfrm"

// AddXFRM makes an XFRM interface, which carries the traffic of the SAs and
// policies with its interface identifier. The alias tells whose it is; the kernel
// passes over one that comes with the making.
func (c *Conn) AddXFRM(name string, ifID uint32, alias string) error {
	if err := c.addXFRM(name, ifID); err != nil {
		return err
	}
	l, err := c.LinkByName(name)
	if err != nil {
		return err
	}
	if err := c.setAlias(l.Index, alias); err != nil {
		return errors.Join(err, c.DeleteLink(l.Index))
	}
	return nil
}

// setAlias gives an interface a text, by which it is found again.
func (c *Conn) setAlias(index int, alias string) error {
	var b netlink.Builder
	b.Raw(linkHeader(index, 0, 0))
	b.String(unix.IFLA_IFALIAS, alias)
	return c.do(fmt.Sprintf("set alias %q of interface %d", alias, index), unix.RTM_NEWLINK, 0, &b)
}

func (c *Conn) addXFRM(name string, ifID uint32) error {
	var b netlink.Builder
	b.Raw(linkHeader(0, 0, 0))
	b.String(unix.IFLA_IFNAME, name)
	b.Nested(unix.IFLA_LINKINFO, func(b *netlink.Builder) {
		b.String(unix.IFLA_INFO_KIND, KindXFRM)
		b.Nested(unix.IFLA_INFO_DATA, func(b *netlink.Builder) { b.U32(xfrmIfID, ifID) })
	})
	return c.do("add XFRM interface "+name, unix.RTM_NEWLINK, netlink.FlagCreate|netlink.FlagExcl, &b)
}

// DeleteLink removes an interface; a veth end takes the other end with it.
func (c *Conn) DeleteLink(index int) error {
	var b netlink.Builder
	b.Raw(linkHeader(index, 0, 0))
	return c.do(fmt.Sprintf("delete interface %d", index), unix.RTM_DELLINK, 0, &b)
}

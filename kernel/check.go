package kernel

import (
	"errors"
	"fmt"
	"slices"

	"racoon2/ikev2/transform"
)

// MaxTemplates bounds Policy.Templates: IPComp, ESP and AH, once each.
const MaxTemplates = 3

// Names is what of a binding tells policies and SAs apart: the interface and the
// mark. What devices do, and marks that are given, are no part of a name.
func (b Binding) Names() Binding { return Binding{IfID: b.IfID, Mark: b.Mark} }

// refuse wraps ErrUnsupported.
func refuse(what string) error { return fmt.Errorf("%s: %w", what, ErrUnsupported) }

// CheckBinding says what of a binding a backend with these capabilities cannot
// do; the error wraps ErrUnsupported.
func (c Capabilities) CheckBinding(b Binding) error {
	switch {
	case b.IfID != 0 && !c.IfID:
		return refuse(fmt.Sprintf("XFRM interface with if_id %d", b.IfID))
	case b.Mark != (Mark{}) && !c.Marks:
		return refuse("mark " + b.Mark.String())
	case b.Set != (Mark{}) && !c.Marks:
		return refuse("mark to be set " + b.Set.String())
	case b.Offload != NoOffload && !c.Offload:
		return refuse(fmt.Sprintf("%v offload to device %q", b.Offload, b.Device))
	case b.Offload > OffloadPacket:
		return refuse(b.Offload.String())
	case b.Offload != NoOffload && b.Device == "":
		return errors.New("offload needs a device")
	}
	return nil
}

// CheckSA says why a backend with these capabilities cannot have an SA, or why
// nobody can. What a backend's Capabilities lack is ErrUnsupported.
func (c Capabilities) CheckSA(sa SA) error {
	err := sa.checkIdentity()
	switch {
	case err != nil:
	case sa.Proto == ESP:
		err = c.checkESP(sa)
	case sa.Proto == AH && c.AH:
		err = c.checkAH(sa)
	case sa.Proto == IPComp && len(c.Comp) > 0:
		err = c.checkIPComp(sa)
	default:
		err = ErrUnsupported
	}
	switch {
	case err != nil:
	case sa.ESN && !c.ESN:
		err = refuse("extended sequence numbers")
	case sa.Replay > c.MaxReplay:
		err = refuse(fmt.Sprintf("anti-replay window of %d packets, at most %d", sa.Replay, c.MaxReplay))
	default:
		err = c.CheckBinding(sa.Binding)
	}
	if err != nil {
		return fmt.Errorf("%v: %w", sa, err)
	}
	return nil
}

// checkIdentity checks what every SA must have.
func (sa SA) checkIdentity() error {
	switch {
	case !sa.Src.IsValid() || !sa.Dst.IsValid() || sa.Src.Is4() != sa.Dst.Is4():
		return errors.New("an SA needs two addresses of one family")
	case sa.Direction != In && sa.Direction != Out:
		return errors.New("an SA needs a direction")
	case sa.Mode != Transport && sa.Mode != Tunnel:
		return errors.New("an SA needs a mode")
	case sa.Proto == IPComp && (sa.SPI == 0 || sa.SPI > 65535 || sa.SPI > 63 && sa.SPI < 256):
		return errors.New("an IPComp CPI is from 1 to 63 or from 256 to 65535") // RFC 3173 §3.3
	case sa.Proto != IPComp && sa.SPI < 256:
		return errors.New("an SA needs an SPI above 255") // RFC 4303 §2.1
	case sa.Selector != (Selector{}):
		return sa.Selector.Valid()
	}
	return nil
}

func (c Capabilities) checkESP(sa SA) error {
	switch {
	case sa.Comp != transform.COMP_NONE:
		return errors.New("ESP does not compress")
	case !slices.Contains(c.Encr, sa.Encr):
		return refuse(sa.Encr.String())
	case !slices.Contains(c.Integ, sa.Integ):
		return refuse(sa.Integ.String())
	case sa.Encap != nil && !c.Encap:
		return refuse("UDP encapsulation")
	}
	return nil
}

func (c Capabilities) checkAH(sa SA) error {
	switch {
	case sa.Encr != 0 || len(sa.EncrKey) > 0 || sa.Comp != transform.COMP_NONE:
		return errors.New("AH has an integrity algorithm alone")
	case sa.Integ == transform.AUTH_NONE:
		return errors.New("AH needs an integrity algorithm")
	case sa.Encap != nil: // RFC 3948 §1: AH cannot pass a NAT
		return errors.New("AH has no UDP encapsulation")
	case !slices.Contains(c.Integ, sa.Integ):
		return refuse(sa.Integ.String())
	}
	return nil
}

func (c Capabilities) checkIPComp(sa SA) error {
	switch {
	case sa.Encr != 0 || len(sa.EncrKey) > 0 || sa.Integ != transform.AUTH_NONE || len(sa.IntegKey) > 0:
		return errors.New("IPComp has no keys")
	case sa.ESN || sa.Replay > 0 || sa.Encap != nil:
		return errors.New("IPComp has no sequence numbers and no UDP encapsulation")
	case !slices.Contains(c.Comp, sa.Comp):
		return refuse(sa.Comp.String())
	}
	return nil
}

// CheckPolicy says why a backend with these capabilities cannot have a policy,
// or why nobody can.
func (c Capabilities) CheckPolicy(p Policy) error {
	if err := c.checkPolicy(p); err != nil {
		return fmt.Errorf("policy %v %v: %w", p.Direction, p.Selector, err)
	}
	return nil
}

func (c Capabilities) checkPolicy(p Policy) error {
	if err := p.Selector.Valid(); err != nil {
		return err
	}
	ranges := len(p.Selector.SrcPort.Split()) > 1 || len(p.Selector.DstPort.Split()) > 1
	switch {
	case p.Direction == Forward && !c.Forward:
		return refuse("inbound policies cover forwarded traffic")
	case p.Direction < In || p.Direction > Forward:
		return errors.New("a policy needs a direction")
	case ranges && !c.PortRanges:
		return refuse("port range")
	case p.Action < Protect || p.Action > Bypass:
		return errors.New("a policy needs an action")
	case p.Action != Protect && len(p.Templates) > 0:
		return fmt.Errorf("%v takes no templates", p.Action)
	case p.Action == Protect && len(p.Templates) == 0:
		return errors.New("protect needs a template")
	case p.MSS != 0 && !c.MSS:
		return refuse("bound on the maximum segment size")
	}
	if err := c.CheckBinding(p.Binding); err != nil {
		return err
	}
	return c.checkTemplates(p.Templates)
}

// checkTemplates holds the order of a bundle (RFC 4301 §4.5, Policy.Templates).
func (c Capabilities) checkTemplates(templates []Template) error {
	rank := map[Protocol]int{IPComp: 1, ESP: 2, AH: 3}
	last := 0
	for i, t := range templates {
		switch {
		case i > 0 && t.Mode == Tunnel:
			return errors.New("only the innermost transform of a bundle may be in tunnel mode")
		case rank[t.Proto] == 0:
			return refuse(t.Proto.String())
		case t.Proto == AH && !c.AH, t.Proto == IPComp && len(c.Comp) == 0:
			return refuse(t.Proto.String())
		case rank[t.Proto] <= last:
			return fmt.Errorf("%v does not go around what stands before it: the order is ipcomp, esp, ah, once each", t.Proto)
		case t.Mode != Transport && t.Mode != Tunnel:
			return errors.New("a template needs a mode")
		case t.Level < Require || t.Level > Unique:
			return errors.New("a template needs a level")
		case t.Mode == Tunnel && (!t.Src.IsValid() || !t.Dst.IsValid()):
			return errors.New("a tunnel needs its end points")
		case t.Mode == Tunnel && !t.Src.IsUnspecified() && !t.Dst.IsUnspecified() && t.Src.Is4() != t.Dst.Is4():
			return fmt.Errorf("the tunnel's end points %v and %v are of different address families", t.Src, t.Dst)
		}
		last = rank[t.Proto]
	}
	if len(templates) > 1 && !c.Bundles {
		return refuse(fmt.Sprintf("bundle of %d transforms", len(templates)))
	}
	return nil
}

// CheckMigrate says why a backend with these capabilities cannot carry out a Migrate.
func (c Capabilities) CheckMigrate(m Migrate) error {
	err := m.Selector.Valid()
	switch {
	case !c.Migrate:
		err = ErrUnsupported
	case err != nil:
	case m.Direction < In || m.Direction > Forward:
		err = errors.New("a direction is needed")
	case m.Mode != Transport && m.Mode != Tunnel:
		err = errors.New("a mode is needed")
	case !m.OldSrc.IsValid() || !m.OldDst.IsValid() || m.OldSrc.Is4() != m.OldDst.Is4():
		err = errors.New("the old end points must be two addresses of one family")
	case !m.NewSrc.IsValid() || !m.NewDst.IsValid() || m.NewSrc.Is4() != m.NewDst.Is4():
		err = errors.New("the new end points must be two addresses of one family")
	case m.Encap != nil && m.Proto != ESP:
		err = fmt.Errorf("%v has no UDP encapsulation", m.Proto)
	default:
		err = c.CheckBinding(m.Binding)
	}
	if err != nil {
		return fmt.Errorf("migration of policy %v %v: %w", m.Direction, m.Selector, err)
	}
	return nil
}

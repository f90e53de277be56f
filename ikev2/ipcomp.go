package ikev2

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"racoon2/ikev2/message"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// IPComp is agreed on beside the proposals, in notifications with the CPI at
// which the sender takes compressed packets (RFC 7296 §2.22). A child whose policy
// compresses must have it: the SPD's entry names it, and would let nothing pass
// without.

const (
	maxCPI      = 65535
	firstOwnCPI = 256 // below it stand the well-known ones (RFC 3173 §3.3)
)

// compOffer is what one IPCOMP_SUPPORTED says.
type compOffer struct {
	cpi  kernel.SPI
	comp transform.COMP
}

// compPayload makes IPCOMP_SUPPORTED: CPI and Transform ID.
func compPayload(cpi kernel.SPI, comp transform.COMP) *message.Notify {
	data := binary.BigEndian.AppendUint16(nil, uint16(cpi))
	return notify(message.IPCOMP_SUPPORTED, append(data, byte(comp)))
}

// compOffers are those of a message, without what is too short or has a CPI that
// nobody can have: one below 256 stands for the algorithm of its own number.
func (m *received) compOffers() []compOffer {
	var list []compOffer
	for _, p := range m.payloads {
		n, ok := p.(*message.Notify)
		if !ok || n.Kind != message.IPCOMP_SUPPORTED || len(n.Data) < 3 {
			continue
		}
		o := compOffer{kernel.SPI(binary.BigEndian.Uint16(n.Data)), transform.COMP(n.Data[2])}
		if o.cpi >= firstOwnCPI || o.cpi != 0 && o.cpi == kernel.SPI(o.comp) {
			list = append(list, o)
		}
	}
	return list
}

// compPayloads are what an initiator offers: its CPI for each algorithm.
func (c *childSA) compPayloads() []message.Payload {
	var list []message.Payload
	for _, comp := range c.conf.Comp {
		list = append(list, compPayload(c.cpiIn, comp))
	}
	return list
}

// chooseComp takes the first of a child's algorithms that the peer offers, as
// responder. What a child does not want is not accepted, which needs no words
// (RFC 7296 §2.22); what it wants and does not get is said in why.
func (c *Child) chooseComp(offers []compOffer) (taken compOffer, why string) {
	if len(c.Comp) == 0 {
		return compOffer{}, ""
	}
	for _, comp := range c.Comp {
		i := slices.IndexFunc(offers, func(o compOffer) bool { return o.comp == comp })
		if i >= 0 {
			return offers[i], ""
		}
	}
	return compOffer{}, fmt.Sprintf("IPComp: peer offers %s; %s demands %s", compList(offers), c.place(), compNames(c.Comp))
}

// checkComp takes the responder's answer, as initiator. RFC 7296 §2.22: nothing
// that was not proposed, and not more than one.
func (c *childSA) checkComp(m *received) error {
	offers := m.compOffers()
	conf := c.conf
	switch {
	case len(offers) == 0 && len(conf.Comp) == 0:
		return nil
	case len(offers) == 0:
		return fmt.Errorf("IPComp: peer accepts none; %s demands %s", conf.place(), compNames(conf.Comp))
	case len(offers) > 1:
		return fmt.Errorf("IPComp: peer accepts %s, more than one", compList(offers))
	case !slices.Contains(conf.Comp, offers[0].comp):
		return fmt.Errorf("IPComp: peer accepts %s, which was not proposed", compList(offers))
	}
	c.comp, c.cpiOut = offers[0].comp, offers[0].cpi
	return nil
}

func compList(offers []compOffer) string {
	list := make([]transform.COMP, 0, len(offers))
	for _, o := range offers[:min(len(offers), maxListed)] {
		list = append(list, o.comp)
	}
	return compNames(list)
}

func compNames(list []transform.COMP) string {
	if len(list) == 0 {
		return "nothing"
	}
	names := make([]string, len(list))
	for i, comp := range list {
		names[i] = comp.String()
	}
	return strings.Join(names, ", ")
}

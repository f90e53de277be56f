package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"racoon2/ikev2"
	"racoon2/ikev2/message"
	"racoon2/kernel"
	"racoon2/kink"
	"racoon2/policy"
	"racoon2/policy/spmif"
)

// AddPolicy adds a pair of dynamic policies.
func (c commands) AddPolicy(r spmif.PolicyRequest) (selector, reverse string, err error) {
	d := policy.Dynamic{
		Selector: r.Selector, Mode: kernel.Transport, Src: r.Src, Dst: r.Dst,
		SASrc: r.SASrc, SADst: r.SADst, Lifetime: r.Lifetime,
	}
	if r.Tunnel {
		d.Mode = kernel.Tunnel
	}
	err = c.changePolicies(policy.AddPolicy{Dynamic: d}, func(m *policy.Manager) (err error) {
		selector, reverse, err = m.CheckDynamic(d)
		return err
	})
	return selector, reverse, err
}

// DeletePolicy removes dynamic policies.
func (c commands) DeletePolicy(r spmif.PolicyRequest) error {
	d := policy.DeletePolicy{Selector: r.Selector, Src: r.Src, Dst: r.Dst}
	return c.changePolicies(d, func(m *policy.Manager) error { return m.HasDynamic(d) })
}

// Migrate moves the policies of a tunnel to other ends.
func (c commands) Migrate(r spmif.MigrateRequest) error {
	move := policy.Migrate(r)
	return c.changePolicies(move, func(m *policy.Manager) error {
		_, _, err := m.CheckMigrate(move)
		return err
	})
}

// changePolicies hands an input to the policy manager if it would be carried out.
func (c commands) changePolicies(in policy.Input, check func(*policy.Manager) error) error {
	ctx, cancel := c.context()
	defer cancel()
	failed, err := ask(ctx, c.a.policy, func() error {
		err := check(c.a.manager)
		if err == nil {
			c.a.policy.feed(in)
		}
		return err
	})
	return errors.Join(err, failed)
}

// Initiate asks for the child of a selector.
func (c commands) Initiate(selector string) error {
	return c.changePolicies(policy.Up{Selector: selector}, func(m *policy.Manager) error {
		if !m.CanInitiate(selector) {
			return fmt.Errorf("a selector %s with auto_ipsec %w", selector, spmif.ErrNotFound)
		}
		return nil
	})
}

// TakeDown deletes the children of a selector, and has them stay down.
func (c commands) TakeDown(selector string) (children int, err error) {
	err = c.changePolicies(policy.Down{Selector: selector}, func(m *policy.Manager) error {
		if !m.CanInitiate(selector) {
			return fmt.Errorf("a selector %s with auto_ipsec %w", selector, spmif.ErrNotFound)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	ctx, cancel := c.context()
	defer cancel()
	for n, d := range c.a.shards {
		infos, err := ask(ctx, d, c.a.engines[n].Status)
		if err != nil {
			return children, err
		}
		for _, i := range infos {
			for _, child := range i.Children {
				if child.Name != selector {
					continue
				}
				in := ikev2.Terminate{IKE: i.Serial, Remote: i.Remote, Child: child.SPIIn, Reason: "taken down by command"}
				if err := d.post(ctx, in); err != nil {
					return children, err
				}
				children++
			}
		}
	}
	pairs, err := c.takeDownPairs(ctx, selector)
	return children + pairs, err
}

// ShowSA describes the IKE SAs with this remote, child, or SPI.
func (c commands) ShowSA(name string) (json.RawMessage, error) {
	s, err := c.a.Status(c.a.ctx)
	if err != nil {
		return nil, err
	}
	var found []IKEStatus
	for _, i := range s.IKESAs {
		hit := name == i.Remote || name == i.SPIi || name == i.SPIr
		for _, ch := range i.Children {
			hit = hit || name == ch.Name || name == ch.SPIIn || name == ch.SPIOut
		}
		if hit {
			found = append(found, i)
		}
	}
	peers := showKINK(s.KINK, name)
	if found == nil && peers == nil {
		return nil, fmt.Errorf("an SA with remote, child or SPI %s %w", name, spmif.ErrNotFound)
	}
	return shown(found, peers)
}

// DeleteSA deletes the IKE SA or the child with an SPI of this host.
func (c commands) DeleteSA(spi uint64) error {
	return c.withSA(spi, func(shard *ikeDriver, i ikev2.IKEInfo, child *ikev2.ChildInfo) error {
		in := ikev2.Terminate{IKE: i.Serial, Remote: i.Remote, Reason: "deleted by command"}
		if child != nil {
			in.Child = child.SPIIn
		}
		return shard.post(c.a.ctx, in)
	}, c.deletePair)
}

// RekeySA has an IKE SA or a child take new keys, as the end of its soft lifetime does.
func (c commands) RekeySA(spi uint64) error {
	return c.withSA(spi, func(shard *ikeDriver, i ikev2.IKEInfo, child *ikev2.ChildInfo) error {
		if child == nil {
			return shard.post(c.a.ctx, ikev2.Rekey{IKE: i.Serial})
		}
		in, _ := saids(*child)
		return shard.post(c.a.ctx, ikev2.KernelEvent{Event: kernel.Expire{ID: in}})
	}, c.rekeyPair)
}

// withSA finds the IKE SA, the child or the pair of KINK with an SPI of this host.
func (c commands) withSA(spi uint64, f func(*ikeDriver, ikev2.IKEInfo, *ikev2.ChildInfo) error, pair func(kink.PeerInfo, kink.ChildInfo) error) error {
	ctx, cancel := c.context()
	defer cancel()
	for n, d := range c.a.shards {
		infos, err := ask(ctx, d, c.a.engines[n].Status)
		if err != nil {
			return err
		}
		for _, i := range infos {
			mine := i.SPIr
			if i.Initiator {
				mine = i.SPIi
			}
			if mine == spi {
				return f(d, i, nil)
			}
			for _, child := range i.Children {
				if uint64(child.SPIIn) == spi {
					return f(d, i, &child)
				}
			}
		}
	}
	if found, err := c.withPair(ctx, spi, pair); found || err != nil {
		return err
	}
	return fmt.Errorf("an SA with SPI %x of this host %w", spi, spmif.ErrNotFound)
}

// ChildUp is what the policy manager hears of a child.
func ChildUp(e ikev2.ChildUp, now time.Time) policy.ChildUp {
	up := policy.ChildUp{
		Engine: kernel.IKEv2, Child: e.Child, Local: e.Info.Local, Remote: e.Info.Remote,
		TSLocal: prefixesOf(e.Info.TSLocal), TSRemote: prefixesOf(e.Info.TSRemote), Again: e.Again,
	}
	if !e.Info.Expires.IsZero() {
		up.Lifetime = max(e.Info.Expires.Sub(now), time.Second)
	}
	return up
}

// manyPrefixes is more than a child's policies are made of: the peer, who chooses
// ranges of addresses, is not followed beyond.
const manyPrefixes = 1024

// prefixesOf are the addresses of traffic selectors, as far as manyPrefixes.
func prefixesOf(list []message.TrafficSelector) []netip.Prefix {
	var out []netip.Prefix
	for _, ts := range list {
		if ts.UnknownType == 0 && len(out) <= manyPrefixes {
			out = append(out, kernel.RangeToPrefixes(ts.Start, ts.End)...)
		}
	}
	return out
}

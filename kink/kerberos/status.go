package kerberos

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"racoon2/kink"
)

// AccountInfo describes one principal of this host. Times are by this host's clock.
type AccountInfo struct {
	Principal   string
	KeyVersions []uint32 // in the keytab
	ETypes      []EType  // configured ones that the keytab has keys of
	TGTEnd      time.Time
	Offset      time.Duration // the KDC's clock less this host's
	LoginError  string        // why the latest AS exchange failed; "" if it did not
	LoginAt     time.Time     // when that was
	Tickets     []TicketInfo  // by peer
}

// TicketInfo describes one cached service ticket.
type TicketInfo struct {
	Peer       string
	EType      EType
	Expires    time.Time
	UserToUser bool
	Refused    bool // by the peer: not used again
}

// Status describes this host's principals, in the configuration's order.
func (h *Host) Status(now time.Time) []AccountInfo {
	keys := h.file.get(now)
	var out []AccountInfo
	for _, name := range h.names {
		a := h.accounts[name]
		info := a.info(h.offset(a.principal.Realm))
		info.KeyVersions = keys.kvnos(a.principal)
		info.ETypes = keys.etypes(a.principal, h.conf.ETypes)
		out = append(out, info)
	}
	return out
}

func (a *account) info(offset time.Duration) AccountInfo {
	a.mu.Lock()
	defer a.mu.Unlock()
	info := AccountInfo{Principal: a.name, Offset: offset, LoginAt: a.failedAt}
	if a.failure != nil {
		info.LoginError = a.failure.Error()
	}
	if a.tgt != nil {
		info.TGTEnd = a.tgt.end.Add(-offset)
	}
	for _, t := range a.tickets {
		info.Tickets = append(info.Tickets, TicketInfo{
			Peer: t.session.peer, EType: t.key.etype, Expires: t.end, UserToUser: t.userToUser, Refused: t.refused,
		})
	}
	slices.SortFunc(info.Tickets, func(a, b TicketInfo) int { return strings.Compare(a.Peer, b.Peer) })
	return info
}

// Replays is the number of authenticators in the replay cache.
func (h *Host) Replays() int { return h.replays.size() }

// Finding is one result of Check.
type Finding struct {
	OK   bool
	Text string // one sentence for an operator
}

// Check tries a principal's whole set-up, and stops at the first thing that does not
// work: the keytab, the KDC with the key, the clock, and the keytab's key against a
// ticket for the principal itself. It changes nothing that KINK uses, and is to be
// run as a job.
func (h *Host) Check(ctx context.Context, now time.Time, rand io.Reader, principal string) []Finding {
	var out []Finding
	say := func(err error, format string, args ...any) bool {
		text := fmt.Sprintf(format, args...)
		if err != nil {
			text = err.Error()
		}
		out = append(out, Finding{OK: err == nil, Text: text})
		return err == nil
	}
	a := h.account(principal)
	if a == nil {
		say(krbErrorf(kink.KRB_AP_ERR_NOT_US, "%s is not a principal of this host: %s", principal, strings.Join(h.names, ", ")), "")
		return out
	}
	keys, err := h.checkKeytab(now, a)
	if !say(err, "The keytab has keys of %s: versions %v, types %s.", a.name, keys.kvnos(a.principal), etypeNames(keys.etypes(a.principal, h.conf.ETypes))) {
		return out
	}
	tgt, err := h.asExchange(ctx, now, rand, a)
	if !say(err, "The KDC of %s takes the key.", a.principal.Realm) {
		return out
	}
	offset := h.offset(a.principal.Realm)
	if offset.Abs() > h.conf.Skew {
		err = fmt.Errorf("this host's clock differs from the KDC's by %s; KINK allows for it, other programs allow %s", offset, h.conf.Skew)
	}
	say(err, "The clocks differ by %s.", offset)
	say(h.checkOwnTicket(ctx, now, rand, a, tgt), "A ticket for %s decrypts with the keytab.", a.name)
	return out
}

func (h *Host) checkKeytab(now time.Time, a *account) (keytab, error) {
	if err := h.file.refresh(now); err != nil {
		return nil, err
	}
	keys := h.file.get(now)
	if len(keys.etypes(a.principal, h.conf.ETypes)) == 0 {
		return keys, h.noKey(keys, a.principal)
	}
	return keys, nil
}

// checkOwnTicket asks for a ticket for this host itself, and decrypts it.
func (h *Host) checkOwnTicket(ctx context.Context, now time.Time, rand io.Reader, a *account, tgt *tgtState) error {
	r, _, err := h.tgsExchange(ctx, now, rand, a, tgt, a.principal, nil)
	if err != nil {
		return err
	}
	if err := h.checkPart("ticket", r.ticket.part); err != nil {
		return err
	}
	own := &acceptance{h: h, clock: now, account: a, req: apReq{ticket: r.ticket}}
	return own.openTicket()
}

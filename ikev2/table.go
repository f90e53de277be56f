package ikev2

import (
	"fmt"
	"slices"
	"strings"

	"racoon2/ikev2/message"
)

// state is the state of an IKE SA.
type state uint8

const (
	stateIdle        state = iota // nothing was sent or answered yet
	stateInitSent                 // initiator: IKE_SA_INIT request is out
	stateHalfOpen                 // responder: IKE_SA_INIT is answered
	stateAuthSent                 // initiator: IKE_AUTH request is out
	stateEstablished              // both ends are authenticated
	stateRekeyed                  // replaced by a successor, to be deleted
	stateDeleting                 // this host asked to delete it
	stateDead                     // gone; only continuations still know it
)

// String names the state as `status` prints it.
func (s state) String() string {
	return [...]string{"IDLE", "INIT_SENT", "HALF_OPEN", "AUTH_SENT", "ESTABLISHED", "REKEYED", "DELETING", "DEAD"}[s]
}

// row is one transition: in this state, a message of this exchange with these
// payloads goes to this handler, whose success leads to the next state.
type row struct {
	state    state
	exchange message.ExchangeType
	response bool
	required []message.PayloadType
	optional []message.PayloadType
	name     string
	handler  func(sa *ikeSA, r *row, m *received)
	next     state
	visits   uint64 // messages that it has let through
}

// run lets a message through to the handler.
func (r *row) run(sa *ikeSA, m *received) {
	r.visits++
	r.handler(sa, r, m)
}

// The payloads that any message may carry besides its own: notifications and
// vendor IDs (RFC 7296 Appendix C), and certificates and configuration, which
// this engine reads over.
func also(types ...message.PayloadType) []message.PayloadType {
	return append(types, message.PayloadNotify, message.PayloadVendor, message.PayloadCERT, message.PayloadCERTREQ, message.PayloadCP)
}

// transitions is the whole table. Rows of one state, exchange and direction
// stand in the order in which they are tried, the most demanding first.
func transitions() []row {
	const (
		sa, ke, n    = message.PayloadSA, message.PayloadKE, message.PayloadNonce
		idi, idr     = message.PayloadIDi, message.PayloadIDr
		auth         = message.PayloadAUTH
		tsi, tsr     = message.PayloadTSi, message.PayloadTSr
		notify, del  = message.PayloadNotify, message.PayloadDelete
		init, ikeSAs = message.IKE_SA_INIT, message.CREATE_CHILD_SA
		authX, info  = message.IKE_AUTH, message.INFORMATIONAL
	)
	type types = []message.PayloadType
	rows := []row{
		// setting up, as responder and as initiator (RFC 7296 §1.2)
		{stateIdle, init, false, types{sa, ke, n}, also(), "initRequest", (*ikeSA).initRequest, stateHalfOpen, 0},
		{stateInitSent, init, true, types{sa, ke, n}, also(), "initAnswer", (*ikeSA).initAnswer, stateAuthSent, 0},
		{stateInitSent, init, true, types{notify}, also(), "initRefused", (*ikeSA).initRefused, stateInitSent, 0},
		{stateHalfOpen, authX, false, types{idi, auth, sa, tsi, tsr}, also(idr), "authRequest", (*ikeSA).authRequest, stateEstablished, 0},
		{stateHalfOpen, authX, false, types{idi, auth}, also(idr), "authChildless", (*ikeSA).authChildless, stateEstablished, 0},
		{stateHalfOpen, authX, false, types{idi, sa, tsi, tsr}, also(idr), "authWithoutAuth", (*ikeSA).authWithoutAuth, stateDead, 0},
		{stateAuthSent, authX, true, types{idr, auth, sa, tsi, tsr}, also(), "authAnswer", (*ikeSA).authAnswer, stateEstablished, 0},
		{stateAuthSent, authX, true, types{idr, auth}, also(), "authAnswer", (*ikeSA).authAnswer, stateEstablished, 0},
		{stateAuthSent, authX, true, types{notify}, also(), "authRefused", (*ikeSA).authRefused, stateDead, 0},

		// further children and rekeying (RFC 7296 §1.3)
		{stateEstablished, ikeSAs, false, types{sa, n, tsi, tsr}, also(ke), "childRequest", (*ikeSA).childRequest, stateEstablished, 0},
		{stateEstablished, ikeSAs, false, types{sa, n, ke}, also(), "rekeyRequest", (*ikeSA).rekeyRequest, stateRekeyed, 0},
		{stateEstablished, ikeSAs, true, types{sa, n, tsi, tsr}, also(ke), "childAnswer", (*ikeSA).childAnswer, stateEstablished, 0},
		{stateEstablished, ikeSAs, true, types{sa, n, ke}, also(), "rekeyAnswer", (*ikeSA).rekeyAnswer, stateRekeyed, 0},
		{stateEstablished, ikeSAs, true, types{notify}, also(), "createRefused", (*ikeSA).createRefused, stateEstablished, 0},

		// the rest of an IKE SA's life (RFC 7296 §1.4)
		{stateEstablished, info, false, nil, also(del), "informRequest", (*ikeSA).informRequest, stateEstablished, 0},
		{stateEstablished, info, true, nil, also(del), "informAnswer", (*ikeSA).informAnswer, stateEstablished, 0},

		// replaced: it is only there to be deleted (RFC 7296 §2.25.2)
		{stateRekeyed, ikeSAs, false, nil, also(sa, ke, n, tsi, tsr), "refuseTemporarily", (*ikeSA).refuseTemporarily, stateRekeyed, 0},
		{stateRekeyed, info, false, nil, also(del), "informRequest", (*ikeSA).informRequest, stateRekeyed, 0},
		{stateRekeyed, info, true, nil, also(del), "informAnswer", (*ikeSA).informAnswer, stateRekeyed, 0},

		// deleted by this host
		{stateDeleting, ikeSAs, false, nil, also(sa, ke, n, tsi, tsr), "refuseTemporarily", (*ikeSA).refuseTemporarily, stateDeleting, 0},
		{stateDeleting, info, false, nil, also(del), "informRequest", (*ikeSA).informRequest, stateDeleting, 0},
		{stateDeleting, info, true, nil, also(del), "deleteAnswer", (*ikeSA).deleteAnswer, stateDead, 0},
	}
	return rows
}

// mayRepeat says that a payload type may occur more than once in a message.
func mayRepeat(t message.PayloadType) bool {
	switch t {
	case message.PayloadNotify, message.PayloadVendor, message.PayloadCERT, message.PayloadCERTREQ, message.PayloadDelete:
		return true
	}
	return false
}

// lookUp finds the row that allows a message; why says what the nearest row
// lacks when there is none.
func lookUp(table []row, s state, m *received) (found *row, why string) {
	why = fmt.Sprintf("no %s %s is expected in state %s", m.Exchange, direction(m.response()), s)
	for i := range table {
		r := &table[i]
		if r.state != s || r.exchange != m.Exchange || r.response != m.response() {
			continue
		}
		problem := r.allows(m.payloads)
		if problem == "" {
			return r, ""
		}
		why = problem
	}
	return nil, why
}

// allows says what is wrong with a message for this row; "" is nothing.
func (r *row) allows(list []message.Payload) string {
	count := map[message.PayloadType]int{}
	for _, p := range list {
		t := p.Type()
		if _, unknown := p.(*message.Unknown); unknown {
			continue // RFC 7296 §2.5: not critical, so it is skipped
		}
		count[t]++
		if count[t] > 1 && !mayRepeat(t) {
			return fmt.Sprintf("%s occurs twice", t)
		}
		if !slices.Contains(r.required, t) && !slices.Contains(r.optional, t) {
			return fmt.Sprintf("%s does not belong there", t)
		}
	}
	for _, t := range r.required {
		if count[t] == 0 {
			return fmt.Sprintf("%s is missing", t)
		}
	}
	return ""
}

func direction(response bool) string {
	if response {
		return "response"
	}
	return "request"
}

// TransitionTable is the table as text, one line for each row: state,
// exchange, direction, required payloads, handler, next state.
func TransitionTable() string {
	var b strings.Builder
	line := func(cells ...string) {
		fmt.Fprintf(&b, "%-12s %-16s %-9s %-22s %-18s %s\n", cells[0], cells[1], cells[2], cells[3], cells[4], cells[5])
	}
	line("state", "exchange", "direction", "required payloads", "handler", "next state")
	for _, r := range transitions() {
		names := make([]string, 0, len(r.required))
		for _, t := range r.required {
			names = append(names, t.String())
		}
		needed := strings.Join(names, " ")
		if needed == "" {
			needed = "-"
		}
		line(r.state.String(), r.exchange.String(), direction(r.response), needed, r.name, r.next.String())
	}
	return b.String()
}

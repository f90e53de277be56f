package spmif

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// line writes an entry as one line of SA LIST. The name comes last, because a
// name may hold blanks; "-" stands for an IKE SA whose remote is not yet known.
//
//	ike STATE LOCAL REMOTE SPIi SPIr NAME
//	child MODE LOCAL REMOTE SPIin SPIout NAME
func (e SAEntry) line() string {
	kind, width := "ike", 16
	if e.Child {
		kind, width = "child", 8
	}
	return fmt.Sprintf("%s %s %s %s %0*x %0*x %s",
		kind, word(e.State), e.Local, e.Remote, width, e.SPIs[0], width, e.SPIs[1], orDash(e.Name))
}

// parseSAEntry reads a line of SA LIST.
func parseSAEntry(line string) (SAEntry, error) {
	f := strings.SplitN(line, " ", 7)
	if len(f) != 7 || f[0] != "ike" && f[0] != "child" {
		return SAEntry{}, fmt.Errorf("spmif: %q is no line of SA LIST", line)
	}
	e := SAEntry{Child: f[0] == "child", State: f[1], Name: f[6]}
	if e.State == "-" {
		e.State = ""
	}
	if e.Name == "-" {
		e.Name = ""
	}
	var errs [4]error
	e.Local, errs[0] = netip.ParseAddrPort(f[2])
	e.Remote, errs[1] = netip.ParseAddrPort(f[3])
	e.SPIs[0], errs[2] = strconv.ParseUint(f[4], 16, 64)
	e.SPIs[1], errs[3] = strconv.ParseUint(f[5], 16, 64)
	for _, err := range errs {
		if err != nil {
			return SAEntry{}, fmt.Errorf("spmif: %q is no line of SA LIST: %w", line, err)
		}
	}
	return e, nil
}

// word makes text one word.
func word(text string) string { return orDash(strings.Join(strings.Fields(text), "_")) }

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

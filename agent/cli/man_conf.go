package cli

import (
	"fmt"
	"strings"

	"racoon2/config"
)

// confManual is racoon2.conf(5) in the man macros; config explain prints the
// same texts.
func confManual() string {
	var b strings.Builder
	b.WriteString(".TH RACOON2.CONF 5\n.SH NAME\nracoon2.conf \\- configuration of racoon2\n.SH DESCRIPTION\n")
	for i, p := range config.Introduction() {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		b.WriteString(roff(p) + "\n")
	}
	for _, c := range config.Chapters() {
		fmt.Fprintf(&b, ".SH %s\n", strings.ToUpper(roff(c.Title)))
		for _, d := range c.Directives {
			fmt.Fprintf(&b, ".TP\n\\fB%s\\fR \\fI%s\\fR\n%s\n", roff(d.Name), roff(d.Syntax), roff(d.Meaning))
			if d.Units != "" {
				fmt.Fprintf(&b, "In %s.\n", roff(d.Units))
			}
			if d.Default != "" {
				fmt.Fprintf(&b, "Default: %s.\n", roff(d.Default))
			}
			if len(d.Where) > 1 {
				fmt.Fprintf(&b, "In %s.\n", roff(strings.Join(d.Where, ", ")))
			}
			if d.State != config.Effective {
				fmt.Fprintf(&b, "It %s.\n", roff(d.State))
			}
		}
	}
	b.WriteString(".SH FILES\n/etc/racoon2/racoon2.conf\n.SH SEE ALSO\n.BR racoon2 (8),\n.BR racoon2\\-config\\-explain (8)\n")
	return b.String()
}

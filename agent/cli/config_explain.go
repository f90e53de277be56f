package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"racoon2/config"
)

func (a *app) configExplainCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain [WORD]",
		Short: "Explain a word of the configuration",
		Long: "Explain a directive or section of racoon2.conf: what it means, what it takes, what\n" +
			"holds without it, where it may stand and whether it has an effect. Without a\n" +
			"word it lists them all.",
		Example: "  racoon2 config explain dpd_delay\n  racoon2 config explain",
		Args:    cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var words []string
			for _, d := range config.Directives() {
				words = append(words, d.Name)
			}
			return words, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return failed(a.explainAll(asJSON))
			}
			rows, near := config.Explain(args[0])
			if rows == nil {
				hint := ""
				if near != "" {
					hint = "; did you mean " + near + "?"
				}
				return fmt.Errorf("%q is not a word of racoon2.conf%s", args[0], hint)
			}
			return failed(a.explainRows(rows, asJSON))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// explainRows prints the meanings of a word.
func (a *app) explainRows(rows []config.Directive, asJSON bool) error {
	if asJSON {
		return a.explainJSON(rows)
	}
	var p page
	for i, d := range rows {
		if i > 0 {
			p.b.WriteByte('\n')
		}
		p.line(0, d.Name+" "+d.Syntax)
		p.b.WriteByte('\n')
		for _, part := range wrap(clean(d.Meaning), width-2, 0) {
			p.b.WriteString("  " + part + "\n")
		}
		p.b.WriteByte('\n')
		if d.Units != "" {
			p.field("units", d.Units)
		}
		if d.Default != "" {
			p.field("default", d.Default)
		}
		where := strings.Join(d.Where, ", ")
		if d.Inherit {
			where += "; in default, too"
		}
		p.field("where", where)
		p.field("state", d.State)
		p.field("example", d.Example)
	}
	return a.print(p.String())
}

// explainAll lists the words of each section.
func (a *app) explainAll(asJSON bool) error {
	if asJSON {
		return a.explainJSON(config.Directives())
	}
	var p page
	for i, c := range config.Chapters() {
		if i > 0 {
			p.b.WriteByte('\n')
		}
		p.line(0, c.Title)
		var words []string
		for _, d := range c.Directives {
			words = append(words, d.Name)
		}
		for _, part := range wrap(strings.Join(words, " "), width-4, 0) {
			p.b.WriteString("    " + part + "\n")
		}
	}
	return a.print(p.String())
}

func (a *app) explainJSON(rows []config.Directive) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(rows)
}

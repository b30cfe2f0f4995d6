package grafana

// Variable is a choice above the dashboard. Queries name it as $name or ${name}.
type Variable struct {
	Type        string   `json:"type"` // "custom" or "datasource"
	Name        string   `json:"name"`
	Label       string   `json:"label"`
	Description string   `json:"description"`
	Query       string   `json:"query"` // custom: the choices; datasource: the type
	Current     Choice   `json:"current"`
	Options     []Choice `json:"options"`
	IncludeAll  bool     `json:"includeAll"`
	AllValue    string   `json:"allValue,omitempty"`
	Multi       bool     `json:"multi"`
	Hide        int      `json:"hide"` // 0: shown
	Regex       string   `json:"regex,omitempty"`
	Refresh     int      `json:"refresh,omitempty"`
	SkipURLSync bool     `json:"skipUrlSync"`
}

// Choice is a value of a variable and how it is shown.
type Choice struct {
	Selected bool   `json:"selected"`
	Text     string `json:"text"`
	Value    string `json:"value"`
}

// Types of variables.
const (
	variableCustom     = "custom"
	variableDataSource = "datasource"
)

// allChoice is the value of the choice "All", which stands for AllValue.
const allChoice = "$__all"

// value returns the text that a choice puts into a query.
func (v Variable) value(choice string) string {
	if choice == allChoice {
		return v.AllValue
	}
	return choice
}

// has reports whether a value can be chosen. Data sources are Grafana's own: any.
func (v Variable) has(choice string) bool {
	if v.Type == variableDataSource {
		return true
	}
	for _, o := range v.Options {
		if o.Value == choice {
			return true
		}
	}
	return false
}

// Choices returns the variable's options with the chosen one selected.
func (v Variable) Choices(chosen string) []Choice {
	out := append([]Choice(nil), v.Options...)
	for i := range out {
		out[i].Selected = out[i].Value == chosen
	}
	return out
}

// Variable returns the dashboard's variable of that name.
func (d Dashboard) Variable(name string) (Variable, bool) {
	for _, v := range d.Templating.List {
		if v.Name == name {
			return v, true
		}
	}
	return Variable{}, false
}

// Choosable returns the variables that a person without Grafana can choose: all but
// those for data sources.
func (d Dashboard) Choosable() []Variable {
	var out []Variable
	for _, v := range d.Templating.List {
		if v.Type == variableCustom {
			out = append(out, v)
		}
	}
	return out
}

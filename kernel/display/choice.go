package display

import (
	"fmt"
	"slices"
	"strings"
)

// A Checkbox is a yes or no that the reader of the notebook ticks; see [Slider].
type Checkbox struct {
	Label    string
	Value    bool
	OnChange func(value bool)

	control
}

// Show shows the box.
func (c *Checkbox) Show() {
	value := "no"
	if c.Get() {
		value = "yes"
	}
	c.show("CheckboxModel", "CheckboxView", "CheckboxStyleModel", map[string]any{
		"description": c.Label, "value": c.Get(), "disabled": false, "indent": false,
	}, staticControl(c.Label, value, ""), func(changed map[string]any) {
		if v, ok := changed["value"].(bool); ok {
			c.set(v)
			c.run(c.callback(v))
		}
	}, c.callback(c.Get()))
}

func (c *Checkbox) callback(v bool) func() {
	if c.OnChange == nil {
		return nil
	}
	return func() { c.OnChange(v) }
}

func (c *Checkbox) set(v bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Value = v
}

// Get returns the present value.
func (c *Checkbox) Get() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Value
}

// Set ticks or clears the box from code, as if the reader had.
func (c *Checkbox) Set(v bool) {
	c.set(v)
	c.put("value", v)
	c.run(c.callback(v))
}

// A Dropdown is a choice among a few texts that the reader of the notebook
// makes; see [Slider].
type Dropdown struct {
	Label    string
	Options  []string
	Value    string // one of the options; empty: the first
	OnChange func(value string)

	control
}

// Show shows the menu. It panics when Value is none of the options.
func (d *Dropdown) Show() {
	if len(d.Options) == 0 {
		panic("display.Dropdown: no Options to choose from")
	}
	if d.Value == "" {
		d.Value = d.Options[0]
	}
	at := slices.Index(d.Options, d.Value)
	if at < 0 {
		panic(fmt.Sprintf("display.Dropdown: Value %q is none of the Options %q", d.Value, d.Options))
	}
	d.show("DropdownModel", "DropdownView", "DescriptionStyleModel", map[string]any{
		"description": d.Label, "_options_labels": d.Options, "index": at, "disabled": false,
	}, staticControl(d.Label, d.Value, strings.Join(d.Options, ", ")), func(changed map[string]any) {
		if i, ok := changed["index"].(float64); ok && i >= 0 && int(i) < len(d.Options) {
			d.set(d.Options[int(i)])
			d.run(d.callback(d.Options[int(i)]))
		}
	}, d.callback(d.Value))
}

func (d *Dropdown) callback(v string) func() {
	if d.OnChange == nil {
		return nil
	}
	return func() { d.OnChange(v) }
}

func (d *Dropdown) set(v string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Value = v
}

// Get returns the present value.
func (d *Dropdown) Get() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.Value
}

// Set chooses from code, as if the reader had. A text that is no option is left
// alone.
func (d *Dropdown) Set(v string) {
	at := slices.Index(d.Options, v)
	if at < 0 {
		return
	}
	d.set(v)
	d.put("index", at)
	d.run(d.callback(v))
}

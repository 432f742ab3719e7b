"""jupyter_kernel_test's conformance suite on the registered kernel."""

import jupyter_kernel_test

from conftest import KERNEL


class TestGonvex(jupyter_kernel_test.KernelTests):
    kernel_name = KERNEL
    language_name = "go"
    file_extension = ".go"
    code_hello_world = 'fmt.Println("hello, world")'
    code_stderr = 'fmt.Fprintln(os.Stderr, "oops")'
    completion_samples = [
        {"text": "fmt.Sprintf", "matches": {"Sprintf"}},
        {"text": "strings.Repea", "matches": {"Repeat"}},
        {"text": 'é := "日本"; fmt.Sprintln', "matches": {"Sprintln"}},
        {"text": "nosuchpackage.x", "matches": set()},
    ]
    complete_code_samples = [
        "1",
        "x := 1",
        "func f() int { return 1 }",
        "for i := 0; i < 3; i++ {\n\tfmt.Println(i)\n}",
        "type T struct{ X int }",
        'import "math"',
        "x := `raw\nstring`",
        "// only a comment",
    ]
    incomplete_code_samples = [
        "func f() int {",
        "for i := 0; i < 3; i++ {",
        "fmt.Println(",
        "x := []int{1,",
        "x := `raw",
        "x := 1 +",
    ]
    invalid_code_samples = ["x := )", "}", 'x := "unterminated']
    code_generate_error = 'panic("boom")'
    code_execute_result = [
        {"code": "6*7", "result": "42"},
        {"code": "var v float64 = 0.5\nv * 3", "result": "1.5"},
        {"code": "func sq(x int) int { return x * x }\nsq(12)", "result": "144"},
        {"code": 'import "strings"\nstrings.Count("abab", "ab")', "result": "2"},
    ]
    code_display_data = [{"code": 'display.Show(display.HTML("<b>hi</b>"))', "mime": "text/html"}]
    code_inspect_sample = "fmt.Println"
    code_clear_output = "display.Clear(false)"
    code_history_pattern = "6?7*"
    supported_history_operations = ("tail", "range", "search")
    code_page_something = "fmt.Println?"

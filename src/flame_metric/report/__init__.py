"""A report: one HTML page on a network, or on several, that opens without a network."""

from flame_metric.report.page import report_page as report_page
from flame_metric.report.page import write_report as write_report
